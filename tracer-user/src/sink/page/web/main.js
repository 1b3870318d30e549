// The page as a whole: what is above the views, which view is open, and that all follow the filter.

const views = { sites, calls, touched, flame, loss };

const tabs = (() => {
  const order = Object.keys(views);
  let current = null;
  /** Views that the filter has changed under since they were drawn. */
  const stale = new Set(order);

  function open(name) {
    current = name;
    for (const one of order) {
      const isOpen = one === name;
      $(`tab-${one}`).setAttribute('aria-selected', isOpen);
      $(`tab-${one}`).tabIndex = isOpen ? 0 : -1;
      $(one).hidden = !isOpen;
    }
    if (stale.delete(name) || name === 'calls') views[name].draw();
  }

  order.forEach((name, n) => {
    const tab = $(`tab-${name}`);
    tab.addEventListener('click', () => open(name));
    tab.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: order.length - 1 }[event.key];
      if (!step) return;
      const next = order[(n + step) % order.length];
      open(next);
      $(`tab-${next}`).focus();
    });
  });

  onFilter(() => {
    for (const name of order) stale.add(name);
    open(current ?? 'sites');
  });

  /** On paper all of them are. */
  window.addEventListener('beforeprint', () => {
    document.documentElement.classList.add('printing');
    for (const name of order) {
      $(name).hidden = false;
      if (stale.delete(name)) views[name].draw();
    }
    printLists(true);
  });
  window.addEventListener('afterprint', () => {
    document.documentElement.classList.remove('printing');
    printLists(false);
    open(current);
  });
  return { open };
})();

/** What was traced, and what it came to. */
function fillHead() {
  const { about, summary, targets } = data;
  document.title = `${about.recording} – pytrace-ebpf report`;
  $('title').textContent = about.recording;
  const who = targets
    .slice(0, 3)
    .map(({ pid, python, executable }) => `pid ${pid}  CPython ${python}  ${executable}`);
  if (targets.length > 3) who.push(`and ${targets.length - 3} more processes`);
  const when = total
    ? `${day(0)} ${clock(0).slice(0, 8)} – ${clock(lastTime).slice(0, 8)} (${format.duration(lastTime)})`
    : 'no calls';
  $('traced').textContent = [...who, when].join('  ·  ');

  const sums = { read: 0, readUnknown: 0, written: 0, writtenUnknown: 0 };
  let errors = 0;
  let time = 0;
  for (let row = 0; row < total; row += 1) {
    if (isError(row)) errors += 1;
    time += selfTime[row];
    if (!movedInside[row]) addMoved(sums, row);
  }
  const stat = (name, text, value, kind = '', title = '') =>
    make(
      'div',
      { class: kind, title },
      make('dt', {}, name),
      make('dd', { 'data-stat': name.toLowerCase(), 'data-value': value }, text),
    );
  $('stats').replaceChildren(
    stat('Calls', format.count(total), total),
    stat('Errors', format.count(errors), errors, errors ? 'some-bad' : '', 'Calls that raised'),
    stat('In calls', format.duration(time) || '0', time, '', 'Time in the calls shown, all threads together'),
    stat(
      'Read',
      format.bytes(sums.read, sums.readUnknown),
      sums.read,
      '',
      'Read or received, bytes; characters of text files',
    ),
    stat(
      'Written',
      format.bytes(sums.written, sums.writtenUnknown),
      sums.written,
      '',
      'Written or sent, bytes; characters of text files',
    ),
    stat(
      'Lost',
      format.count(summary.lost),
      summary.lost,
      summary.lost ? 'bad-stat' : 'good-stat',
      'Calls that are not here since the tracer could not keep up',
    ),
  );
}

/** Losses are said before anything else; what is less than that stands with them under Loss. */
function fillNotices() {
  const bad = notices.filter(({ isBad }) => isBad);
  const dropped = data.summary.sites.filter((site) => site.dropped || site.return_dropped);
  dropped.sort((a, b) => b.dropped - a.dropped);
  const where = dropped
    .slice(0, 5)
    .map((site) => `${site.function} ${format.count(site.dropped)} of ${format.count(site.hits)}`);
  const rest = dropped.length - where.length;
  if (rest > 0) where.push(`and ${rest} more functions`);
  $('notices').replaceChildren(
    ...bad.map(({ text }) => make('p', { class: 'notice bad' }, text)),
    ...(where.length
      ? [
          make(
            'p',
            { class: 'notice bad' },
            `Dropped: ${where.join(', ')}. `,
            make('button', { type: 'button', class: 'link', onclick: () => tabs.open('loss') }, 'All'),
          ),
        ]
      : []),
  );
}

/** The chips: each group, how many calls it has, and whether it is shown. */
function drawGroups() {
  const counts = new Uint32Array(groups.length);
  for (const row of inSpan(rowsThat(tests('groups')))) counts[groupOf[columns.effect[row]]] += 1;
  const order = [...groups.keys()].sort((a, b) => groups[a].name.localeCompare(groups[b].name));
  const focused = document.activeElement?.dataset?.group;
  $('groups').replaceChildren(
    ...order.map((place) => {
      const { name, doc } = groups[place];
      const isOn = !filter.groups || filter.groups.has(place);
      return make(
        'button',
        {
          type: 'button',
          class: 'chip',
          title: doc,
          'aria-pressed': isOn,
          'data-group': name,
          onclick: () => toggleGroup(place),
        },
        swatch(place),
        name,
        make('span', { class: 'faint' }, format.count(counts[place])),
      );
    }),
  );
  if (focused)
    $('groups')
      .querySelector(`[data-group="${CSS.escape(focused)}"]`)
      ?.focus();
}

/** The first choice shows only that group; others come to it, or go. None left: all. */
function toggleGroup(place) {
  const chosen = new Set(filter.groups ?? []);
  if (!chosen.delete(place)) chosen.add(place);
  refilter({ groups: chosen.size && chosen.size < groups.length ? chosen : null });
}

function drawBar() {
  drawGroups();
  $('errors').checked = filter.errors;
  $('thread').value = String(filter.thread);
  if ($('search').value !== filter.text) $('search').value = filter.text;
  $('count').textContent = isFiltered()
    ? `${format.count(shown.length)} of ${format.counted(total, 'call')}`
    : format.counted(total, 'call');
  $('count').dataset.value = shown.length;
  $('reset').hidden = !isFiltered();
  $('chosen').replaceChildren(
    ...(filter.chosen
      ? [
          make(
            'button',
            {
              type: 'button',
              class: 'chip',
              'aria-pressed': 'true',
              title: 'Show others again',
              onclick: () => refilter({ chosen: null }),
            },
            filter.chosen.title,
            ' ×',
          ),
        ]
      : []),
  );
}

function fillThreads() {
  const counts = new Uint32Array(data.threads.length);
  for (const thread of columns.thread) counts[thread] += 1;
  const order = [...counts.keys()].sort((a, b) => counts[b] - counts[a]);
  $('thread').append(
    make(
      'option',
      { value: NONE },
      data.threads.length === 1 ? 'One thread' : `All ${data.threads.length} threads`,
    ),
    ...order.map((thread) =>
      make('option', { value: thread }, `${threadText(thread)} (${format.count(counts[thread])})`),
    ),
  );
}

/** Typing is followed when it pauses. */
function listenToSearch() {
  let waiting = 0;
  $('search').addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => refilter({ text: $('search').value }), 150);
  });
}

$('errors').addEventListener('change', () => refilter({ errors: $('errors').checked }));
$('thread').addEventListener('change', () => refilter({ thread: Number($('thread').value) }));
$('reset').addEventListener('click', () =>
  refilter({ groups: null, errors: false, thread: NONE, text: '', span: null, chosen: null }),
);
listenToSearch();

document.addEventListener('keydown', (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? '');
  if (event.key === '/' && !isTyping) {
    event.preventDefault();
    $('search').focus();
  } else if (event.key === 'Escape' && !$('detail').hidden) detail.close();
});

/** Canvases have no style sheet: they are drawn again in the other colours. */
window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  timeline.draw();
  flame.repaint();
});

fillHead();
fillNotices();
fillThreads();
onFilter(drawBar);
onFilter(timeline.draw);
refilter();
document.documentElement.dataset.ready = 'true';
