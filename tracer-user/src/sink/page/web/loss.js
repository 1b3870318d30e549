// What is not on this page, and how that is known.

/** What there is to say of it: sentences, and whether each is a loss. */
const notices = (() => {
  const { summary, left_out: leftOut, cut_texts: cutTexts } = data;
  const all = [];
  const say = (text, isBad = true) => all.push({ text, isBad });
  if (summary.lost)
    say(
      `${format.counted(summary.lost, 'call')} lost: the tracer could not keep up, and what is here is not everything.`,
    );
  if (summary.lost_returns)
    say(
      `${format.counted(summary.lost_returns, 'end')} of calls lost: those calls are here without a result.`,
    );
  if (data.sample)
    say(
      `Sampled (--sample ${data.sample}): ${format.counted(summary.skipped, 'call')} of functions that were called more often are ` +
        'not here. Counts, times and bytes on this page are those of the calls that are; what raised is here in full.',
    );
  if (summary.cut)
    say(
      'The recording was not finished (the tracer was killed, or still wrote): nothing after its end is here.',
    );
  if (leftOut)
    say(
      `${format.count(leftOut)} of ${format.counted(summary.events, 'call')} left out, the last ones: ` +
        'more than a page can hold. Choose fewer, by -e, --in or --min-duration.',
    );
  if (summary.truncated)
    say(
      `Of ${format.counted(summary.truncated, 'record')} a part was cut short: marked with ... where it was.`,
      false,
    );
  if (summary.faults)
    say(`In ${format.counted(summary.faults, 'record')} something could not be read.`, false);
  if (cutTexts)
    say(
      `${format.counted(cutTexts, 'text')} longer than this page keeps, marked with …; replay has more.`,
      false,
    );
  if (data.changes_left_out) say(`${format.count(data.changes_left_out)} changes of processes left out.`);
  for (const { pid, unseen } of data.targets) if (unseen) say(`Process ${pid}: ${unseen}`);
  return all;
})();

const loss = (() => {
  const { summary, about } = data;

  function facts(...rows) {
    return make(
      'dl',
      { class: 'facts' },
      ...rows.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]),
    );
  }

  /** A plain table; rows are texts. */
  function plain(headings, rows) {
    const cells = (tag, texts) =>
      texts.map((text, n) =>
        make(
          tag,
          { class: n && typeof text === 'number' ? 'number' : '' },
          typeof text === 'number' ? format.count(text) : text,
        ),
      );
    return make(
      'div',
      { class: 'scroll' },
      make(
        'table',
        {},
        make('thead', {}, make('tr', {}, ...cells('th', headings))),
        make('tbody', {}, ...rows.map((row) => make('tr', {}, ...cells('td', row)))),
      ),
    );
  }

  /** The same, with so many rows at most; the rest is counted. */
  function some(headings, rows, most = 200) {
    const rest = rows.length - most;
    return [
      plain(headings, rows.slice(0, most)),
      rest > 0 ? make('p', { class: 'hint' }, `${format.count(rest)} more are not listed.`) : null,
    ];
  }

  function sum() {
    const { hits, delivered, dropped, filtered, skipped } = summary;
    const holds = hits === delivered + dropped + filtered + skipped;
    return make(
      'p',
      { class: 'equation' },
      `${format.count(hits)} calls entered = ${format.count(delivered)} delivered + `,
      `${format.count(dropped)} dropped + ${format.count(filtered)} left out by filters`,
      skipped ? ` + ${format.count(skipped)} not chosen` : '',
      make('b', { class: holds ? 'good' : 'bad' }, holds ? ' ✓' : ' ✗ does not add up'),
    );
  }

  function lostTimes() {
    if (!data.losses.length) return [];
    return [
      make('h2', {}, 'When'),
      ...some(
        ['From', 'Clock', 'Records lost'],
        data.losses.map(([since, n]) => [format.offset(since), clock(since), n]),
      ),
    ];
  }

  function perSite() {
    if (!summary.sites.length)
      return [make('p', {}, 'At no function was anything lost, cut short or unreadable.')];
    const fields = [
      'hits',
      'delivered',
      'dropped',
      'filtered',
      'skipped',
      'return_hits',
      'return_delivered',
      'return_dropped',
      'truncated',
      'faults',
    ];
    const headings = [
      'Function',
      'Entered',
      'Delivered',
      'Dropped',
      'Filtered',
      'Not chosen',
      'Ended',
      'Delivered',
      'Dropped',
      'Cut short',
      'Unreadable',
    ];
    const rows = summary.sites.map((site) => [site.function, ...fields.map((field) => site[field])]);
    rows.sort((a, b) => b[3] + b[8] - a[3] - a[8] || b[5] - a[5]);
    return some(headings, rows);
  }

  function processes() {
    if (!data.processes.length) return [];
    const rows = data.processes.map(([time, pid, what, more]) => [
      format.offset(time),
      String(pid),
      what,
      more,
    ]);
    return [make('h2', {}, 'Processes'), ...some(['When', 'Process', 'What', ''], rows)];
  }

  function draw() {
    const options = (list) => (list.length ? list.join(' ') : 'everything');
    const lines = notices.map(({ text, isBad }) => make('p', { class: isBad ? 'bad' : '' }, text));
    if (!notices.some(({ isBad }) => isBad)) lines.unshift(make('p', { class: 'good' }, 'Nothing was lost.'));
    const parts = [
      make('h2', {}, 'Loss'),
      ...lines,
      sum(),
      summary.inner
        ? make(
            'p',
            {},
            `${format.counted(summary.inner, 'call')} inside of another call's work: `,
            'part of that one, and not shown (--nested shows them).',
          )
        : null,
      make('h2', {}, 'Function by function'),
      ...perSite(),
      ...lostTimes(),
      ...processes(),
      make('h2', {}, 'How this was made'),
      facts(
        ['Recording', about.recording],
        ['Recorded by', about.recorded_by],
        ['Recorded', options(about.recorded_with)],
        ['On this page', options(about.shown_with)],
        ['Frames per call', `at most ${format.count(about.stack)}`],
        ['Of a string', `at most ${format.count(about.max_str)} bytes`],
        ...data.targets.map(({ pid, python, executable, functions }) => [
          `Process ${pid}`,
          `CPython ${python}, ${executable}, ${format.counted(functions, 'function')} probed`,
        ]),
      ),
    ];
    $('loss').replaceChildren(make('div', { class: 'prose' }, ...parts.filter(Boolean)));
  }

  return { draw };
})();
