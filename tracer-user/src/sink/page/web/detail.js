// What is known of one call, one call site, one file.

const detail = (() => {
  const panel = $('detail');
  const MOST = 100;
  let opener = null;

  function open(title, ...parts) {
    if (panel.hidden) opener = document.activeElement;
    const shut = make(
      'button',
      { type: 'button', class: 'close', title: 'Close (Esc)', 'aria-label': 'Close', onclick: close },
      '×',
    );
    panel.replaceChildren(
      make('div', { class: 'detail-head' }, make('h2', {}, title), shut),
      ...parts.filter(Boolean),
    );
    panel.hidden = false;
    panel.scrollTop = 0;
  }

  function close() {
    panel.hidden = true;
    opener?.focus?.();
  }

  panel.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close();
  });

  function facts(...rows) {
    const given = rows.filter(([, value]) => value !== '' && value !== null && value !== undefined);
    return make(
      'dl',
      { class: 'facts' },
      ...given.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]),
    );
  }

  function callLink(row) {
    const text = `${format.offset(columns.time[row])}  ${callText(row)}${outcomeText(row)}`;
    const took = columns.duration[row] < 0 ? '' : format.duration(columns.duration[row]);
    return make(
      'button',
      {
        type: 'button',
        class: `call-link${isError(row) ? ' failed' : ''}`,
        title: text,
        onclick: () => call(row),
      },
      make('span', { class: 'took' }, took),
      make('span', { class: 'text' }, callText(row), make('span', { class: 'outcome' }, outcomeText(row))),
    );
  }

  /** So many calls as links; the rest is counted. */
  function callLinks(rows) {
    const rest = rows.length - MOST;
    return make(
      'div',
      { class: 'links' },
      ...Array.from(rows.slice(0, MOST), callLink),
      rest > 0 ? make('p', { class: 'hint' }, `${format.count(rest)} more are not listed here.`) : null,
    );
  }

  function stackList(row) {
    const stack = data.stacks[columns.stack[row]];
    if (!stack.length)
      return make('p', { class: 'none' }, 'No Python frame: called from C, or the frames could not be read.');
    return make(
      'ol',
      { class: 'stack' },
      ...stack.map((line) =>
        make(
          'li',
          {},
          make('b', {}, data.lines[line][0]),
          ' ',
          make(
            'code',
            {},
            placeText(line, (file) => file),
          ),
        ),
      ),
    );
  }

  function names(row) {
    const places = [columns.touched[row], columns.touchedToo[row]].filter((place) => place >= 0);
    return places.map((place) => data.touched[place].join(' ')).join('\n');
  }

  /** Rows inside of a call. */
  function inside(row) {
    const found = [];
    for (let one = firstChild[row]; one !== NONE; one = nextSibling[one]) found.push(one);
    return found;
  }

  function call(row) {
    const [name, , kind] = data.functions[columns.function[row]];
    const { effect } = data.effects[columns.effect[row]];
    const parent = columns.parent[row];
    const within = inside(row);
    const around =
      parent >= 0
        ? [make('h3', {}, 'Inside of'), callLink(parent)]
        : parent === SOMETHING
          ? [make('p', { class: 'hint' }, 'Inside of a call that is not on this page.')]
          : [];
    const took =
      columns.duration[row] < 0
        ? 'not known'
        : format.duration(columns.duration[row]) +
          (within.length ? `, ${format.duration(selfTime[row])} of it not in calls below` : '');
    open(
      name,
      make(
        'pre',
        { class: isError(row) ? 'failed' : '' },
        callText(row),
        make('span', { class: 'outcome' }, outcomeText(row)),
      ),
      facts(
        ['Effect', effect],
        ['Kind', kind === 'call' ? '' : kind === 'function' ? 'Python function' : kind],
        [
          'When',
          `${day(columns.time[row])} ${clock(columns.time[row])} (${format.offset(columns.time[row])})`,
        ],
        ['Took', took],
        [
          'Stands for',
          columns.weight[row] === 1 ? '' : `${format.count(columns.weight[row])} calls, of which it was chosen by chance`,
        ],
        ['Ended', data.endings[columns.ending[row]]],
        ['Process/thread', threadText(columns.thread[row])],
        ['On', names(row)],
        [
          'Moved',
          columns.moved[row] === NONE
            ? ''
            : columns.moved[row] === SOMETHING
              ? 'how much is not known'
              : format.bytes(columns.moved[row]),
        ],
        ['Event', `id ${columns.id[row]}`],
      ),
      make(
        'p',
        {},
        make(
          'button',
          { type: 'button', onclick: () => goTo(columns.time[row]) },
          'All calls of that moment',
        ),
      ),
      make('h3', {}, 'Stack'),
      stackList(row),
      ...around,
      within.length ? make('h3', {}, `Calls inside (${format.count(within.length)})`) : null,
      within.length ? callLinks(within) : null,
    );
  }

  /** Calls by how long they took: powers of two of a nanosecond. */
  function histogram(rows) {
    const counts = new Uint32Array(64);
    let low = 63;
    let high = 0;
    for (const row of rows) {
      if (columns.duration[row] < 0) continue;
      const power = Math.min(Math.floor(Math.log2(Math.max(columns.duration[row], 1))), 63);
      counts[power] += 1;
      low = Math.min(low, power);
      high = Math.max(high, power);
    }
    if (low > high) return null;
    const most = Math.max(...counts);
    const bars = [...counts.subarray(low, high + 1)].map((n, i) => {
      const bar = make('i', {});
      bar.style.height = `${n ? Math.max((n / most) * 100, 3) : 0}%`;
      const span = `${format.duration(2 ** (low + i))} to ${format.duration(2 ** (low + i + 1))}`;
      return make('span', { title: `${span}: ${format.counted(n, 'call')}` }, bar);
    });
    const ends = make(
      'div',
      { class: 'ends' },
      make('span', {}, format.duration(2 ** low)),
      make('span', {}, format.duration(2 ** (high + 1))),
    );
    return make(
      'div',
      { class: 'histogram', role: 'img', 'aria-label': 'Calls by duration' },
      make('div', { class: 'bars' }, ...bars),
      ends,
    );
  }

  /** The errors of some calls, by type. */
  function errorTypes(rows) {
    const counts = new Map();
    for (const row of rows)
      if (columns.error[row] >= 0) counts.set(columns.error[row], (counts.get(columns.error[row]) ?? 0) + 1);
    const sorted = [...counts].sort(([, a], [, b]) => b - a);
    return sorted.map(([type, n]) => `${data.texts[type]} ${format.count(n)}`).join(', ');
  }

  /** Slowest, latest, failed: one of them at a time. */
  function choices(rows) {
    const latest = Array.from(rows).reverse();
    const slowest = Array.from(rows).sort((a, b) => columns.duration[b] - columns.duration[a]);
    const ways = [
      ['Slowest', slowest],
      ['Latest', latest],
      ['Errors', latest.filter(isError)],
    ].filter(([, some]) => some.length);
    const place = make('div');
    const buttons = ways.map(([name, some]) =>
      make(
        'button',
        { type: 'button', 'aria-pressed': 'false', onclick: (event) => choose(event.currentTarget, some) },
        name,
      ),
    );
    function choose(button, some) {
      for (const one of buttons) one.setAttribute('aria-pressed', one === button);
      place.replaceChildren(callLinks(some));
    }
    if (ways.length) choose(buttons[0], ways[0][1]);
    return [make('div', { class: 'choices' }, ...buttons), place];
  }

  function onlyThese(title, test) {
    return make(
      'p',
      {},
      make(
        'button',
        {
          type: 'button',
          onclick: () => {
            refilter({ chosen: { title, test } });
            close();
          },
        },
        'Show only these calls',
      ),
    );
  }

  function site(entry, title, test) {
    const rows = shown.filter(test);
    open(
      title,
      facts(
        ['Calls', format.count(entry.calls)],
        ['Errors', entry.errors ? errorTypes(rows) : ''],
        ['Time', `${format.duration(entry.total)}, longest ${format.duration(entry.most)}`],
      ),
      histogram(rows),
      make('details', {}, make('summary', {}, 'Stack of the slowest'), stackList(entry.slowest)),
      onlyThese(title, test),
      ...choices(rows),
    );
  }

  function byLine(rows) {
    const entries = addUp(
      rows,
      (row) => (lineOf(row) + 1) * data.functions.length + columns.function[row],
      (data.lines.length + 1) * data.functions.length,
    );
    entries.sort((a, b) => b.calls - a.calls);
    const rest = entries.length - MOST;
    const lines = entries
      .slice(0, MOST)
      .map(({ row, calls: n, errors }) =>
        make(
          'tr',
          {},
          make('td', { class: 'number' }, format.count(n)),
          make('td', { class: 'number bad' }, errors ? format.count(errors) : ''),
          make('td', { title: placeText(lineOf(row), (file) => file) }, placeText(lineOf(row))),
          make('td', {}, data.functions[columns.function[row]][1]),
        ),
      );
    const head = make('tr', {}, ...['Calls', 'Errors', 'Line', 'What'].map((text) => make('th', {}, text)));
    return [
      make(
        'div',
        { class: 'scroll' },
        make('table', {}, make('thead', {}, head), make('tbody', {}, ...lines)),
      ),
      rest > 0 ? make('p', { class: 'hint' }, `${format.count(rest)} more are not listed.`) : null,
    ];
  }

  function ofTouched(entry, kind, name, test) {
    const rows = shown.filter(test);
    open(
      name || '(empty)',
      facts(
        ['Kind', kind],
        ['Calls', format.count(entry.calls)],
        ['Errors', entry.errors ? errorTypes(rows) : ''],
        ['First', clock(entry.first)],
        ['Last', clock(entry.last)],
      ),
      onlyThese(name, test),
      make('h3', {}, 'By line'),
      ...byLine(rows),
      make('h3', {}, 'Calls'),
      ...choices(rows),
    );
  }

  return { call, site, touched: ofTouched, close };
})();
