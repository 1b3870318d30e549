// Where calls are made, and what it came to.

/** Adds up rows by a number; `keyOf(row)` is less than `size`. Entries are those that have any. */
function addUp(rows, keyOf, size) {
  const entries = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (key < 0 || key >= size) continue;
    let entry = entries.get(key);
    if (!entry) {
      entry = {
        key,
        row,
        calls: 0,
        errors: 0,
        timed: 0,
        total: 0,
        most: 0,
        slowest: row,
        moved: 0,
        movedUnknown: 0,
        p50: NONE,
        p99: NONE,
      };
      entries.set(key, entry);
    }
    entry.calls += 1;
    if (isError(row)) entry.errors += 1;
    const duration = columns.duration[row];
    if (duration >= 0) {
      entry.timed += 1;
      entry.total += duration;
      if (duration > entry.most) {
        entry.most = duration;
        entry.slowest = row;
      }
    }
    if (columns.moved[row] === SOMETHING) entry.movedUnknown += 1;
    else if (columns.moved[row] > 0) entry.moved += columns.moved[row];
  }
  percentiles(rows, keyOf, entries);
  return [...entries.values()];
}

/** Sorts the durations of each entry, in one array. */
function percentiles(rows, keyOf, entries) {
  let end = 0;
  for (const entry of entries.values()) {
    entry.from = end;
    entry.next = end;
    end += entry.timed;
  }
  const durations = new Float64Array(end);
  for (const row of rows) {
    const entry = entries.get(keyOf(row));
    if (entry && columns.duration[row] >= 0) durations[entry.next++] = columns.duration[row];
  }
  for (const entry of entries.values()) {
    if (!entry.timed) continue;
    const own = durations.subarray(entry.from, entry.from + entry.timed).sort();
    const at = (part) => own[Math.min(Math.ceil(part * entry.timed), entry.timed) - 1];
    entry.p50 = at(0.5);
    entry.p99 = at(0.99);
  }
}

const sites = (() => {
  const functions = data.functions.length;
  /** What calls are grouped by: a number for each row, and how many there are. */
  const ways = {
    site: {
      label: 'call site',
      of: (row) => (lineOf(row) + 1) * functions + columns.function[row],
      size: (data.lines.length + 1) * functions,
    },
    line: { label: 'Python line', of: (row) => lineOf(row) + 1, size: data.lines.length + 1 },
    caller: {
      label: 'Python function',
      of: (row) => callers.of[lineOf(row) + 1],
      size: data.lines.length + 1,
    },
    function: { label: 'function called', of: (row) => columns.function[row], size: functions },
    effect: { label: 'effect', of: (row) => columns.effect[row], size: data.effects.length },
  };
  /** By line: the first line of the same function in the same file. */
  const callers = { of: new Int32Array(data.lines.length + 1) };
  const firstOf = new Map();
  data.lines.forEach(([name, file], line) => {
    const key = JSON.stringify([file, name]);
    if (!firstOf.has(key)) firstOf.set(key, line + 1);
    callers.of[line + 1] = firstOf.get(key);
  });

  let way = 'site';
  const hasLine = () => way !== 'function' && way !== 'effect';
  const hasFunction = () => way === 'site' || way === 'function';

  function whereText({ row }) {
    const line = lineOf(row);
    if (line === NONE) return placeText(line);
    const [name, file] = data.lines[line];
    return way === 'caller' ? `${name}  ${fileName(file)}` : `${placeText(line)}  ${name}`;
  }

  function where(entry) {
    if (!hasLine()) return '';
    const line = lineOf(entry.row);
    const title =
      line === NONE
        ? 'Called from C, or the frames could not be read'
        : `${placeText(line, (file) => file)} ${data.lines[line][0]}`;
    return make('span', { title, class: line === NONE ? 'none' : '' }, whereText(entry));
  }

  function whatText({ row }) {
    if (way === 'effect') return data.effects[columns.effect[row]].effect;
    return hasFunction() ? data.functions[columns.function[row]][0] : '';
  }

  function what(entry) {
    const place = groupOf[columns.effect[entry.row]];
    const title = `${data.effects[columns.effect[entry.row]].effect}: ${groups[place].doc ?? ''}`;
    if (hasFunction() || way === 'effect') return make('span', { title }, swatch(place), whatText(entry));
    return '';
  }

  const mean = ({ total: sum, timed }) => (timed ? sum / timed : NONE);
  const table = new Table({
    label: 'Call sites',
    sort: 'Total',
    empty: 'No call matches.',
    open: (entry) => detail.site(entry, title(entry), testOf(entry.key)),
    columns: [
      {
        label: 'Where',
        title: 'Python line and function that made the call',
        width: 'minmax(14em, 3fr)',
        cell: where,
        value: whereText,
      },
      {
        label: 'Calls what',
        title: 'What was called',
        width: 'minmax(12em, 2fr)',
        cell: what,
        value: whatText,
      },
      numeric('Calls', 'How often', ({ calls }) => calls, format.count, '5.5em'),
      numeric(
        'Errors',
        'Calls that raised',
        ({ errors }) => errors,
        (n) => (n ? make('b', { class: 'bad' }, format.count(n)) : ''),
        '5em',
      ),
      numeric('Total', 'Time from entry to end, of all', ({ total: sum }) => sum, format.duration),
      numeric('Mean', 'Of the calls whose end was seen', mean, format.duration),
      numeric('p50', 'Half of the calls took at most that long', ({ p50 }) => p50, format.duration),
      numeric('p99', '99 of 100 calls took at most that long', ({ p99 }) => p99, format.duration),
      numeric('Max', 'The longest', ({ most, timed }) => (timed ? most : NONE), format.duration),
      numeric(
        'Bytes',
        'Read, written, received or sent; characters of text files',
        ({ moved }) => moved,
        (n, { movedUnknown }) => (n || movedUnknown ? format.bytes(n, movedUnknown) : ''),
      ),
    ],
  });

  const choice = make(
    'select',
    {
      'aria-label': 'Group by',
      onchange: (event) => {
        way = event.target.value;
        draw();
      },
    },
    ...Object.entries(ways).map(([value, { label }]) => make('option', { value }, label)),
  );
  const note = make('span', { class: 'hint' });
  $('sites').append(
    make('div', { class: 'tools' }, make('label', {}, 'One row a ', choice), note),
    table.element,
  );

  function title(entry) {
    return [hasLine() && whereText(entry), whatText(entry)].filter(Boolean).join('  ');
  }

  function testOf(key) {
    const { of } = ways[way];
    return (row) => of(row) === key;
  }

  function draw() {
    const { of, size } = ways[way];
    const entries = addUp(shown, of, size);
    const unseen = shown.reduce(
      (n, row) => n + (columns.duration[row] < 0 && columns.ending[row] === UNOBSERVED ? 1 : 0),
      0,
    );
    const withoutEnd = unseen ? `; ${format.counted(unseen, 'call')} without an end: in no time here` : '';
    note.textContent = format.counted(entries.length, 'row') + withoutEnd;
    table.show(entries);
  }

  return { draw };
})();
