// Calls over time, by group of effects. A span that is chosen here filters everything else.

const timeline = (() => {
  const canvas = $('timeline');
  const tip = $('timeline-tip');
  const HEIGHT = 116;
  /** Below the bars: errors, then the axis. */
  const AXIS = 18;
  const ERRORS = 8;
  const BAR = 4;
  /** Pixels that a pointer moves before it is no click any more. */
  const DRAG = 4;
  const EDGE = 6;

  /** What is in sight, nanoseconds. */
  let view = [0, lastTime];
  let drag = null;
  let bins = null;

  const xOf = (time) => ((time - view[0]) / (view[1] - view[0])) * canvas.clientWidth;
  const timeAt = (x) => view[0] + Math.min(Math.max(x / canvas.clientWidth, 0), 1) * (view[1] - view[0]);

  /** Counts what is in sight: calls by bin and group, errors and the most of a bin. */
  function count(width) {
    const bars = Math.max(Math.floor(width / BAR), 1);
    const counts = new Uint32Array(bars * groups.length);
    const errors = new Uint32Array(bars);
    const sums = new Uint32Array(bars);
    const scale = bars / (view[1] - view[0]);
    for (let n = firstAt(outsideSpan, view[0]); n < outsideSpan.length; n += 1) {
      const row = outsideSpan[n];
      if (columns.time[row] > view[1]) break;
      const bin = Math.min(Math.floor((columns.time[row] - view[0]) * scale), bars - 1);
      counts[bin * groups.length + groupOf[columns.effect[row]]] += 1;
      sums[bin] += 1;
      if (isError(row)) errors[bin] += 1;
    }
    return { bars, counts, errors, sums, most: sums.reduce((most, n) => Math.max(most, n), 1) };
  }

  const draw = later(() => {
    const { context, width, height } = prepare(canvas, HEIGHT);
    bins = count(width);
    const bar = width / bins.bars;
    const floor = height - AXIS - ERRORS;
    drawLosses(context, floor);
    const colours = groups.map((_, place) => groupColour(place));
    const bad = colour('--bad');
    for (let bin = 0; bin < bins.bars; bin += 1) {
      let bottom = floor;
      groups.forEach((_, place) => {
        const n = bins.counts[bin * groups.length + place];
        if (!n) return;
        const size = Math.max((n / bins.most) * (floor - 14), 1);
        context.fillStyle = colours[place];
        context.fillRect(bin * bar, bottom - size, Math.max(bar - 0.75, 1), size);
        bottom -= size;
      });
      if (bins.errors[bin]) {
        context.fillStyle = bad;
        context.globalAlpha = 0.25 + (0.75 * bins.errors[bin]) / bins.sums[bin];
        context.fillRect(bin * bar, floor + 2, Math.max(bar - 0.75, 1), ERRORS - 4);
        context.globalAlpha = 1;
      }
    }
    drawAxis(context, width, height, floor);
    drawSpan(context, floor);
    drawMoment(context, floor);
    const whole = view[1] - view[0];
    const most = `at most ${format.count(bins.most)} in ${format.duration(whole / bins.bars)}`;
    const counted = format.counted(outsideSpan.length, 'call');
    canvas.setAttribute('aria-label', `${counted} in ${format.duration(whole)}, ${most}`);
    describe();
  });

  /** Where records were lost, everything from then on may lack some. */
  function drawLosses(context, floor) {
    context.fillStyle = colour('--bad');
    for (const [since] of data.losses) context.fillRect(xOf(since) - 1, 0, 2, floor);
  }

  function drawAxis(context, width, height, floor) {
    context.strokeStyle = colour('--line');
    context.fillStyle = colour('--faint');
    context.font = '11px system-ui, sans-serif';
    context.beginPath();
    context.moveTo(0, floor + 0.5);
    context.lineTo(width, floor + 0.5);
    const step = niceStep((view[1] - view[0]) / Math.max(width / 110, 1));
    for (let time = Math.ceil(view[0] / step) * step; time <= view[1]; time += step) {
      const x = Math.round(xOf(time)) + 0.5;
      context.moveTo(x, floor);
      context.lineTo(x, height - AXIS + 3);
      const label = time > 0 ? format.duration(time) : '0';
      const size = context.measureText(label).width;
      context.fillText(label, Math.min(Math.max(x - size / 2, 0), width - size), height - 4);
    }
    context.stroke();
    const most = `${format.count(bins.most)} per ${format.duration((view[1] - view[0]) / bins.bars)}`;
    if (outsideSpan.length) context.fillText(most, 2, 10);
  }

  function niceStep(least) {
    const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least) ?? power * 10;
  }

  function drawSpan(context, floor) {
    const span = drag?.span ?? filter.span;
    if (!span) return;
    const [from, to] = span.map(xOf);
    context.fillStyle = colour('--veil');
    context.fillRect(0, 0, from, floor);
    context.fillRect(to, 0, canvas.clientWidth - to, floor);
    context.fillStyle = colour('--accent');
    context.fillRect(from - 1, 0, 2, floor);
    context.fillRect(to - 1, 0, 2, floor);
  }

  function drawMoment(context, floor) {
    if (moment === null) return;
    context.fillStyle = colour('--text');
    const x = xOf(moment);
    context.fillRect(x - 0.5, 8, 1, floor - 8);
    context.beginPath();
    context.moveTo(x - 5, 1);
    context.lineTo(x + 5, 1);
    context.lineTo(x, 9);
    context.fill();
  }

  /** Says which span is chosen, and what can be done with it. */
  function describe() {
    const zoomed = view[0] !== 0 || view[1] !== lastTime;
    const parts = [];
    if (filter.span) {
      const [from, to] = filter.span;
      parts.push(`${clock(from)} – ${clock(to)} (${format.duration(to - from)}) `);
      parts.push(make('button', { type: 'button', onclick: () => zoom(filter.span) }, 'Zoom in'), ' ');
      parts.push(make('button', { type: 'button', onclick: () => choose(null) }, 'Clear span'), ' ');
    }
    if (zoomed)
      parts.push(make('button', { type: 'button', onclick: () => zoom([0, lastTime]) }, 'Whole time'));
    $('span').replaceChildren(...parts);
  }

  function zoom(span) {
    view = [...span];
    if (view[1] - view[0] < 1000) view[1] = view[0] + 1000;
    draw();
  }

  function choose(span) {
    refilter({ span });
  }

  function grab(x) {
    const [from, to] = (filter.span ?? [NaN, NaN]).map(xOf);
    if (Math.abs(x - from) <= EDGE) return filter.span[1];
    if (Math.abs(x - to) <= EDGE) return filter.span[0];
    return timeAt(x);
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { x: event.offsetX, anchor: grab(event.offsetX), span: null };
  });

  canvas.addEventListener('pointermove', (event) => {
    hover(event);
    if (!drag || (!drag.span && Math.abs(event.offsetX - drag.x) < DRAG)) return;
    const time = timeAt(event.offsetX);
    drag.span = [Math.min(drag.anchor, time), Math.max(drag.anchor, time)];
    draw();
  });

  canvas.addEventListener('pointerup', (event) => {
    if (!drag) return;
    const { span } = drag;
    drag = null;
    if (span) choose(span);
    else goTo(timeAt(event.offsetX));
  });

  canvas.addEventListener('pointercancel', () => {
    drag = null;
    draw();
  });
  canvas.addEventListener('pointerleave', () => {
    tip.hidden = true;
  });
  canvas.addEventListener('dblclick', () => choose(null));

  function lostIn(bin) {
    const [from, to] = [bin, bin + 1].map((n) => view[0] + (n / bins.bars) * (view[1] - view[0]));
    return data.losses.reduce((sum, [since, n]) => sum + (since >= from && since < to ? n : 0), 0);
  }

  function hover(event) {
    if (!bins) return;
    const bin = Math.min(Math.floor((event.offsetX / canvas.clientWidth) * bins.bars), bins.bars - 1);
    if (bin < 0) return;
    const lines = [make('div', {}, clock(timeAt(event.offsetX)))];
    groups.forEach(({ name }, place) => {
      const n = bins.counts[bin * groups.length + place];
      if (n) lines.push(make('div', {}, swatch(place), ` ${name} ${format.count(n)}`));
    });
    if (bins.errors[bin])
      lines.push(make('div', { class: 'bad' }, format.counted(bins.errors[bin], 'error')));
    const lost = lostIn(bin);
    if (lost)
      lines.push(make('div', { class: 'bad' }, `${format.counted(lost, 'record')} lost from here on`));
    showTip(tip, event.offsetX, event.offsetY, ...lines);
    const [from, to] = (filter.span ?? [NaN, NaN]).map(xOf);
    const edge = Math.min(Math.abs(event.offsetX - from), Math.abs(event.offsetX - to)) <= EDGE;
    canvas.style.cursor = edge ? 'ew-resize' : 'crosshair';
  }

  canvas.addEventListener('keydown', (event) => {
    const whole = view[1] - view[0];
    const [from, to] = filter.span ?? [view[0] + whole * 0.4, view[0] + whole * 0.6];
    const step = whole / 50;
    const sign = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (sign) {
      const moved = event.shiftKey ? [from, to + sign * step] : [from + sign * step, to + sign * step];
      const start = Math.min(Math.max(moved[0], 0), lastTime - 1);
      choose([start, Math.max(moved[1], start + 1)]);
    } else if (event.key === 'Enter') goTo((from + to) / 2);
    else if (event.key === 'Escape') choose(null);
    else return;
    event.preventDefault();
  });

  new ResizeObserver(draw).observe(canvas.parentElement);
  return { draw };
})();
