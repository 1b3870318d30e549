// Where the time went: Python frames, and in them the calls.

const flame = (() => {
  const HEIGHT = 20;
  /** Levels drawn at most. */
  const MAX_LEVELS = 200;

  /** A tree of paths, built once: node 0 is everything. A node has the number of its parent, which is less than its own. */
  const parents = [NONE];
  const labels = [NONE];
  const levels = [0];
  /** By row: the node of its call. */
  const nodeOf = new Int32Array(total);
  const below = new Map();

  /** Labels: 0 for no frame, then Python functions (by their first line), then functions called. */
  const LINES = 1;
  const CALLED = LINES + data.lines.length;
  const firstLines = new Map();
  const frameLabel = data.lines.map(([name, file], line) => {
    const key = JSON.stringify([file, name]);
    if (!firstLines.has(key)) firstLines.set(key, line);
    return LINES + firstLines.get(key);
  });
  const groupOfCalled = new Int32Array(data.functions.length).fill(NONE);

  function child(parent, label) {
    const key = parent * (CALLED + data.functions.length) + label;
    let node = below.get(key);
    if (node === undefined) {
      node = parents.push(parent) - 1;
      labels.push(label);
      levels.push(levels[parent] + 1);
      below.set(key, node);
    }
    return node;
  }

  /** Frames that a call has more than the call around it: those before the first frame that both have. */
  function framesInside(stack, around) {
    if (!around.length) return stack;
    const common = stack.indexOf(around[0]);
    return common < 0 ? stack : stack.slice(0, common);
  }

  function build() {
    const walked = new Map();
    for (let row = 0; row < total; row += 1) {
      const parent = columns.parent[row];
      const isInside = parent >= 0;
      const from = isInside ? nodeOf[parent] : 0;
      const key = `${from} ${columns.stack[row]} ${isInside ? columns.stack[parent] : NONE}`;
      let node = walked.get(key);
      if (node === undefined) {
        const stack = data.stacks[columns.stack[row]];
        const frames = isInside ? framesInside(stack, data.stacks[columns.stack[parent]]) : stack;
        node = from;
        for (let n = frames.length - 1; n >= 0; n -= 1) node = child(node, frameLabel[frames[n]]);
        if (!isInside && !stack.length) node = child(0, 0);
        walked.set(key, node);
      }
      nodeOf[row] = child(node, CALLED + columns.function[row]);
      groupOfCalled[columns.function[row]] = groupOf[columns.effect[row]];
    }
  }

  let isBuilt = false;
  let values = new Float64Array(0);
  let counts = new Float64Array(0);
  let measure = 'time';
  /** The node that has the whole width, and the one that keys and pointer are on. */
  let root = 0;
  let at = 0;
  let boxes = [];
  let children = [];

  /** Adds up what is shown, along the paths. */
  function weigh() {
    if (!isBuilt) build();
    isBuilt = true;
    values = new Float64Array(parents.length);
    counts = new Float64Array(parents.length);
    for (const row of shown) {
      values[nodeOf[row]] += measure === 'time' ? selfTime[row] : 1;
      counts[nodeOf[row]] += 1;
    }
    children = parents.map(() => []);
    for (let node = parents.length - 1; node > 0; node -= 1) {
      values[parents[node]] += values[node];
      counts[parents[node]] += counts[node];
      if (values[node] > 0) children[parents[node]].push(node);
    }
    for (const list of children) list.sort((a, b) => values[b] - values[a]);
    if (!values[root]) root = 0;
    at = root;
  }

  const canvas = make('canvas', { tabindex: '0', role: 'img' });
  const tip = make('div', { class: 'tip', hidden: true });
  const info = make('p', { class: 'flame-info', 'aria-live': 'polite' });
  const choice = make(
    'select',
    {
      'aria-label': 'Width',
      onchange: (event) => {
        measure = event.target.value;
        draw();
      },
    },
    make('option', { value: 'time' }, 'time'),
    make('option', { value: 'calls' }, 'calls'),
  );
  const note = make('span', { class: 'hint' });
  const box = make('div', { class: 'flame-box' }, make('div', { class: 'canvas-box' }, canvas, tip));
  $('flame').append(
    make(
      'div',
      { class: 'tools' },
      make('label', {}, 'Width: ', choice),
      make('button', { type: 'button', onclick: () => zoom(0) }, 'Whole'),
      note,
    ),
    info,
    box,
  );

  function label(node) {
    if (node === 0) return 'all';
    const which = labels[node];
    if (which === 0) return '(no Python frame)';
    if (which >= CALLED) return data.functions[which - CALLED][1];
    const [name, file] = data.lines[which - LINES];
    return `${name}  ${fileName(file)}`;
  }

  function fillOf(node) {
    const which = labels[node];
    if (node === 0) return colour('--flame-root');
    if (which === 0) return colour('--flame-none');
    if (which >= CALLED) return groupColour(groupOfCalled[which - CALLED]);
    const [, file] = data.lines[which - LINES];
    let mixed = 0;
    for (const character of file) mixed = (mixed * 31 + character.codePointAt(0)) % 360;
    return `hsl(${25 + (mixed % 30)} ${colour('--flame-saturation')} ${colour('--flame-lightness')})`;
  }

  /** Places the nodes from the zoomed one down, and the ones around it above. */
  function place(width) {
    boxes = [];
    const around = [];
    for (let node = root; node !== NONE; node = parents[node]) around.unshift(node);
    around.forEach((node, level) => boxes.push({ node, x: 0, width, level, isAround: node !== root }));
    let level = [{ node: root, x: 0, width }];
    for (let depthNow = around.length; level.length && depthNow < MAX_LEVELS; depthNow += 1) {
      const next = [];
      for (const { node, x, width: room } of level) {
        let left = x;
        for (const inner of children[node]) {
          const size = (values[inner] / values[node]) * room;
          if (size >= 0.5) {
            next.push({ node: inner, x: left, width: size });
            boxes.push({ node: inner, x: left, width: size, level: depthNow });
          }
          left += size;
        }
      }
      level = next;
    }
  }

  function paintNow() {
    if (!values.length) return;
    place(Math.max(canvas.parentElement.clientWidth, 50));
    const deepest = boxes.reduce((most, { level }) => Math.max(most, level), 0);
    const { context } = prepare(canvas, (deepest + 1) * HEIGHT + 2);
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    for (const each of boxes) paintBox(context, each);
    canvas.setAttribute('aria-label', `Flamegraph: ${describe(root)}`);
  }

  const paint = later(paintNow);

  function paintBox(context, { node, x, width, level, isAround }) {
    const top = level * HEIGHT;
    context.globalAlpha = isAround ? 0.55 : 1;
    context.fillStyle = fillOf(node);
    context.fillRect(x, top, Math.max(width - 0.75, 0.5), HEIGHT - 1);
    context.globalAlpha = 1;
    if (node === at && document.activeElement === canvas) {
      context.strokeStyle = colour('--text');
      context.lineWidth = 2;
      context.strokeRect(x + 1, top + 1, Math.max(width - 2.75, 1), HEIGHT - 3);
    }
    if (width < 30) return;
    context.fillStyle = labels[node] >= CALLED ? colour('--on-group') : colour('--flame-text');
    context.fillText(fitted(context, label(node), width - 8), x + 4, top + HEIGHT / 2);
  }

  function fitted(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    const most = Math.floor((text.length * width) / context.measureText(text).width) - 1;
    return most > 1 ? `${text.slice(0, most)}…` : '';
  }

  function describe(node) {
    const value = measure === 'time' ? format.duration(values[node]) : format.counted(values[node], 'call');
    const share = node === 0 ? '' : `, ${format.percent(values[node], values[0])}`;
    const many = measure === 'time' ? `, ${format.counted(counts[node], 'call')}` : '';
    return `${label(node)}: ${value}${share}${many}`;
  }

  function path(node) {
    const which = labels[node];
    if (which >= LINES && which < CALLED) return data.lines[which - LINES][1];
    return which >= CALLED ? data.functions[which - CALLED][0] : '';
  }

  function pointAt(node) {
    at = node;
    const full = path(node);
    info.textContent = full ? `${describe(node)}  (${full})` : describe(node);
  }

  function zoom(node) {
    root = node;
    pointAt(node);
    paint();
  }

  function under({ offsetX, offsetY }) {
    const level = Math.floor(offsetY / HEIGHT);
    return boxes.find(
      (each) => each.level === level && offsetX >= each.x && offsetX < each.x + Math.max(each.width, 1),
    );
  }

  canvas.addEventListener('click', (event) => {
    const found = under(event);
    if (found) zoom(found.node);
  });
  canvas.addEventListener('pointermove', (event) => {
    const found = under(event);
    if (!found) {
      tip.hidden = true;
      return;
    }
    pointAt(found.node);
    showTip(tip, event.offsetX, event.offsetY, make('div', {}, describe(found.node)));
  });
  canvas.addEventListener('pointerleave', () => {
    tip.hidden = true;
  });
  canvas.addEventListener('focus', paint);
  canvas.addEventListener('blur', paint);

  canvas.addEventListener('keydown', (event) => {
    const beside = at === 0 ? [0] : children[parents[at]];
    const place = beside.indexOf(at);
    const moves = {
      ArrowDown: () => children[at][0] ?? at,
      ArrowUp: () => Math.max(parents[at], 0),
      ArrowRight: () => beside[place + 1] ?? at,
      ArrowLeft: () => beside[place - 1] ?? at,
      Home: () => 0,
    };
    if (moves[event.key]) pointAt(moves[event.key]());
    else if (event.key === 'Enter') zoom(at);
    else if (event.key === 'Escape') zoom(0);
    else return;
    event.preventDefault();
    paint();
  });

  function draw() {
    weigh();
    pointAt(root);
    const unseen = shown.reduce((n, row) => n + (columns.duration[row] < 0 ? 1 : 0), 0);
    const parts = [
      `Stacks have at most ${format.counted(data.about.stack, 'frame')}`,
      data.about.stack < 5 ? ' (record with --stack 20 for more).' : '.',
    ];
    if (unseen && measure === 'time')
      parts.push(` ${format.counted(unseen, 'call')} of unknown length not in it.`);
    note.textContent = parts.join('');
    paintNow();
  }

  new ResizeObserver(paint).observe(box);
  return { draw, repaint: paint };
})();
