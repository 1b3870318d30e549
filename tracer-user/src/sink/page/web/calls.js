// The calls one by one, as a tree, and those of a moment.

/** Nanoseconds since the start; null: none was chosen. */
let moment = null;

const calls = (() => {
  /** Rows in the list; those that are there only since a call inside of them is; those folded; those in progress. */
  let rows = new Uint32Array(0);
  let isAround = new Uint8Array(0);
  const folded = new Set();
  let running = new Set();

  const list = new List({
    label: 'Calls',
    empty: 'No call matches.',
    head: make(
      'div',
      { class: 'row headings calls-row', role: 'row' },
      ...['Time', 'Thread', 'Line', 'Call', 'Took', 'In sight'].map((text) =>
        make('div', { role: 'columnheader', class: text === 'Took' ? 'number' : '' }, text),
      ),
    ),
    open: (index) => detail.call(rows[index]),
    fill: (element, index) => fill(element, rows[index]),
  });

  const at = make('input', {
    type: 'text',
    inputmode: 'decimal',
    size: '11',
    'aria-label': 'Moment, seconds since the first call',
    placeholder: '1.234567',
  });
  const form = make(
    'form',
    {
      onsubmit: (event) => {
        event.preventDefault();
        typed();
      },
    },
    'Moment: + ',
    at,
    ' s ',
    make('button', {}, 'Go'),
  );
  const fold = make('button', { type: 'button', onclick: () => foldAll() }, 'Fold all');
  const inProgress = make('div', { class: 'in-progress' });
  $('calls').append(
    make(
      'div',
      { class: 'tools' },
      form,
      fold,
      make('span', { class: 'hint' }, 'Calls made inside of a call are below it, indented.'),
    ),
    inProgress,
    list.element,
  );

  function typed() {
    const seconds = Number.parseFloat(at.value);
    if (Number.isFinite(seconds)) goTo(seconds * 1e9);
  }

  function foldAll() {
    if (folded.size) folded.clear();
    else for (const row of shown) if (firstChild[row] !== NONE) folded.add(row);
    draw();
  }

  /** Finds what to list: the calls shown and, dimmed, those around them, without what is folded. */
  function gather() {
    const SHOWN = 1;
    const AROUND = 2;
    const marks = new Uint8Array(total);
    for (const row of shown) {
      marks[row] = SHOWN;
      for (let parent = columns.parent[row]; parent >= 0 && !marks[parent]; parent = columns.parent[parent])
        marks[parent] = AROUND;
    }
    const hidden = new Uint8Array(folded.size ? total : 0);
    const found = new Uint32Array(total);
    let count = 0;
    for (let row = 0; row < total; row += 1) {
      const parent = columns.parent[row];
      if (folded.size && parent >= 0) hidden[row] = hidden[parent] || folded.has(parent) ? 1 : 0;
      if (marks[row] && !hidden[row]) found[count++] = row;
    }
    rows = found.subarray(0, count);
    isAround = marks.map((mark) => (mark === AROUND ? 1 : 0));
  }

  function fill(element, row) {
    element.classList.add('calls-row');
    if (isAround[row]) element.classList.add('around');
    if (isError(row)) element.classList.add('failed');
    if (running.has(row)) element.classList.add('running');
    const line = lineOf(row);
    const place = line === NONE ? '-' : `${placeText(line)} ${data.lines[line][0]}`;
    const text = make(
      'div',
      { class: 'text call', title: callText(row) + outcomeText(row) },
      folder(row),
      swatch(groupOf[columns.effect[row]]),
      callText(row),
      make('span', { class: 'outcome' }, outcomeText(row)),
    );
    text.style.paddingLeft = `${Math.min(depth[row], 40) * 14}px`;
    element.append(
      make(
        'div',
        { class: 'text', title: `${day(columns.time[row])} ${clock(columns.time[row])}` },
        format.offset(columns.time[row]),
      ),
      make('div', { class: 'text' }, threadText(columns.thread[row])),
      make('div', { class: 'text', title: place }, place),
      text,
      make(
        'div',
        { class: 'number' },
        columns.duration[row] < 0 ? '' : format.duration(columns.duration[row]),
      ),
      bar(row),
    );
  }

  function folder(row) {
    if (firstChild[row] === NONE) return make('span', { class: 'folder' });
    const isFolded = folded.has(row);
    return make(
      'button',
      {
        type: 'button',
        class: 'folder',
        tabindex: '-1',
        'aria-expanded': !isFolded,
        title: isFolded ? 'Unfold' : 'Fold',
        onclick: () => toggle(row),
      },
      isFolded ? '▸' : '▾',
    );
  }

  function toggle(row) {
    if (!folded.delete(row)) folded.add(row);
    const { scrollTop } = list.element;
    gather();
    list.show(rows.length);
    list.element.scrollTop = scrollTop;
    list.render();
  }

  /** When a call ran, in the time of the calls in sight. */
  function bar(row) {
    const [first, behind] = list.window();
    const from = columns.time[rows[first]];
    const last = rows[Math.max(behind - 1, first)];
    const whole = Math.max(columns.time[last] + Math.max(columns.duration[last], 0) - from, 1);
    const part = (time) => Math.min(Math.max((time - from) / whole, 0), 1);
    const start = part(columns.time[row]);
    const length = part(columns.time[row] + Math.max(columns.duration[row], 0)) - start;
    const mark = make('i', { class: `group-${groups[groupOf[columns.effect[row]]].name}` });
    mark.style.left = `${start * 100}%`;
    mark.style.width = `${length * 100}%`;
    return make('div', { class: 'waterfall' }, mark);
  }

  /** By thread: the calls in progress at a moment, outermost first. What began last on a thread, or is around it. */
  function inProgressAt(time) {
    const last = new Map();
    const behind = search(total, (row) => columns.time[row], time + 1);
    for (let row = behind - 1; row >= 0 && last.size < data.threads.length; row -= 1) {
      if (!last.has(columns.thread[row])) last.set(columns.thread[row], row);
    }
    const chains = [];
    for (const [thread, latest] of last) {
      const chain = [];
      for (let row = latest; row >= 0; row = columns.parent[row]) {
        if (isRunning(row, time)) chain.unshift(row);
      }
      if (chain.length) chains.push([thread, chain]);
    }
    return chains.sort(([a], [b]) => a - b);
  }

  /** Of calls whose end was not seen it is not known. */
  function isRunning(row, time) {
    return columns.duration[row] >= 0 && columns.time[row] + columns.duration[row] >= time;
  }

  function drawMoment() {
    running = new Set();
    if (moment === null) return inProgress.replaceChildren();
    at.value = (moment / 1e9).toFixed(6);
    const chains = inProgressAt(moment);
    const lines = chains.map(([thread, chain]) => {
      const links = chain.flatMap((row, n) => {
        running.add(row);
        const link = make(
          'button',
          { type: 'button', class: 'link', title: callText(row), onclick: () => detail.call(row) },
          data.functions[columns.function[row]][1],
        );
        return n ? [' › ', link] : [link];
      });
      return make('div', {}, make('b', {}, threadText(thread)), ' ', ...links);
    });
    const none = lines.length ? '' : ': no call was in progress';
    inProgress.replaceChildren(
      make('div', { class: 'hint' }, `At ${clock(moment)} (${format.offset(moment)})${none}`),
      ...lines,
    );
  }

  function draw() {
    gather();
    drawMoment();
    list.show(rows.length);
    if (moment !== null) list.reveal(firstAt(rows, moment), Math.floor(list.inSight() / 3));
  }

  return { draw };
})();

/** Shows the calls of a moment. */
function goTo(time) {
  moment = Math.min(Math.max(time, 0), lastTime);
  const { span } = filter;
  if (span && (moment < span[0] || moment > span[1])) refilter({ span: null });
  tabs.open('calls');
  timeline.draw();
}
