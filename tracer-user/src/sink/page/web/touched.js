// Files, peers, statements and commands: what was done to each, and by which lines.

const touched = (() => {
  const names = data.touched.length;
  const kinds = [...new Set(data.touched.map(([kind]) => kind))];
  const plural = {
    file: 'Files',
    peer: 'Peers',
    statement: 'Statements',
    database: 'Databases',
    method: 'Methods',
    command: 'Commands',
    module: 'Modules',
    name: 'Names',
  };
  let kind = '';

  const nameOf = ({ key }) => data.touched[key][1];
  const kindOf = ({ key }) => data.touched[key][0];
  const table = new Table({
    label: 'Files and peers',
    sort: 'Calls',
    empty: 'No call that matches is on anything with a name.',
    open: (entry) => detail.touched(entry, kindOf(entry), nameOf(entry), (row) => isOn(row, entry.key)),
    columns: [
      {
        label: 'Name',
        title: 'As the call had it: relative paths are relative to where the process was',
        width: 'minmax(16em, 4fr)',
        cell: (entry) => make('span', { title: nameOf(entry) }, nameOf(entry) || '(empty)'),
        value: nameOf,
      },
      { label: 'Kind', title: 'What it is', width: '6em', cell: kindOf, value: kindOf },
      numeric('Calls', 'How often something was done with it', ({ calls: n }) => n, format.count, '5.5em'),
      numeric(
        'Errors',
        'Calls that raised',
        ({ errors }) => errors,
        (n) => (n ? make('b', { class: 'bad' }, format.count(n)) : ''),
        '5em',
      ),
      numeric(
        'In',
        'Read or received, bytes; characters of text files',
        ({ read }) => read,
        (n, { readUnknown }) => (n || readUnknown ? format.bytes(n, readUnknown) : ''),
      ),
      numeric(
        'Out',
        'Written or sent, bytes; characters of text files',
        ({ written }) => written,
        (n, { writtenUnknown }) => (n || writtenUnknown ? format.bytes(n, writtenUnknown) : ''),
      ),
      numeric('Time', 'Time from entry to end, of all calls', ({ total: sum }) => sum, format.duration),
      numeric('Lines', 'Python lines that did it', ({ lines }) => lines.size, format.count, '4.5em'),
      numeric('First', 'Since the first call of all', ({ first }) => first, format.offset, '8.5em'),
      numeric('Last', 'Since the first call of all', ({ last }) => last, format.offset, '8.5em'),
    ],
  });

  const choice = make(
    'select',
    {
      'aria-label': 'Kind',
      onchange: (event) => {
        kind = event.target.value;
        draw();
      },
    },
    make('option', { value: '' }, 'Everything'),
    ...kinds.map((value) => make('option', { value }, plural[value] ?? value)),
  );
  const note = make('span', { class: 'hint' });
  $('touched').append(
    make('div', { class: 'tools' }, make('label', {}, 'Show ', choice), note),
    table.element,
  );

  function isOn(row, key) {
    return columns.touched[row] === key || columns.touchedToo[row] === key;
  }

  function gather() {
    const entries = new Map();
    let unnamed = 0;
    for (const row of shown) {
      if (columns.touched[row] === SOMETHING) unnamed += 1;
      else if (columns.touched[row] !== NONE) add(entries, row, columns.touched[row], true);
      if (columns.touchedToo[row] >= 0) add(entries, row, columns.touchedToo[row], false);
    }
    return { entries: [...entries.values()].filter((entry) => !kind || kindOf(entry) === kind), unnamed };
  }

  function add(entries, row, key, isFirst) {
    if (key >= names) return;
    let entry = entries.get(key);
    if (!entry) {
      entry = {
        key,
        calls: 0,
        errors: 0,
        total: 0,
        read: 0,
        readUnknown: 0,
        written: 0,
        writtenUnknown: 0,
        lines: new Set(),
        first: columns.time[row],
        last: 0,
      };
      entries.set(key, entry);
    }
    entry.calls += 1;
    if (isError(row)) entry.errors += 1;
    entry.total += Math.max(columns.duration[row], 0);
    entry.last = columns.time[row];
    entry.lines.add(lineOf(row));
    if (isFirst && !movedInside[row]) addMoved(entry, row);
  }

  function draw() {
    const { entries, unnamed } = gather();
    const left = `; ${format.counted(unnamed, 'call')} on descriptors without a known name left out`;
    note.textContent = `${format.count(entries.length)} of them${unnamed ? left : ''}`;
    table.show(entries);
  }

  return { draw };
})();

/** Adds what a call read or wrote. */
function addMoved(sum, row) {
  const moved = columns.moved[row];
  const { direction } = data.effects[columns.effect[row]];
  if (moved === NONE || !direction) return;
  const name = direction === 'in' ? 'read' : 'written';
  if (moved === SOMETHING) sum[`${name}Unknown`] += 1;
  else sum[name] += moved;
}
