// Which calls are shown. A view that depends on it listens.

const filter = {
  /** Places of groups; null: all. */
  groups: null,
  errors: false,
  thread: NONE,
  text: '',
  /** Nanoseconds since the start; null: the whole. */
  span: null,
  /** Calls of one call site or on one file: what to show of it, and a test of a row. */
  chosen: null,
};

const listeners = [];
/** The rows that all of the filter but the span lets through, and those in the span too. */
let outsideSpan = new Uint32Array(0);
let shown = new Uint32Array(0);

function onFilter(listener) {
  listeners.push(listener);
}

/** Takes in a change of the filter, and tells who depends on it. */
function refilter(change = {}) {
  Object.assign(filter, change);
  const onlySpan = Object.keys(change).length === 1 && 'span' in change;
  if (!onlySpan) outsideSpan = rowsThat(tests());
  shown = inSpan(outsideSpan);
  for (const listener of listeners) listener();
}

function isFiltered() {
  const { groups: chosenGroups, errors, thread, text, span, chosen } = filter;
  return Boolean(chosenGroups || errors || thread !== NONE || text.trim() || span || chosen);
}

function inSpan(rows) {
  if (!filter.span) return rows;
  const [from, to] = filter.span;
  return rows.subarray(firstAt(rows, from), firstAt(rows, to));
}

/** Those of all rows that pass every test. */
function rowsThat(all) {
  const rows = new Uint32Array(total);
  let count = 0;
  for (let row = 0; row < total; row += 1) {
    if (all.every((test) => test(row))) rows[count++] = row;
  }
  return rows.subarray(0, count);
}

/** `without`: a part of the filter that is not asked. */
function tests(without) {
  const all = [];
  const wanted = filter.groups;
  if (wanted && without !== 'groups') all.push((row) => wanted.has(groupOf[columns.effect[row]]));
  if (filter.errors) all.push(isError);
  if (filter.thread !== NONE) all.push((row) => columns.thread[row] === filter.thread);
  if (filter.chosen) all.push(filter.chosen.test);
  for (const word of filter.text.split(/\s+/).filter(Boolean)) all.push(wordTest(word));
  return all;
}

/** Whether a word is anywhere in a call. Each text is looked at once, not once a call. */
function wordTest(word) {
  const isNot = word.length > 1 && word.startsWith('-');
  const sought = (isNot ? word.slice(1) : word).toLowerCase();
  const flags = (table, textOf) => {
    const found = new Uint8Array(table.length);
    table.forEach((entry, place) => {
      found[place] = textOf(entry).toLowerCase().includes(sought) ? 1 : 0;
    });
    return found;
  };
  const functions = flags(data.functions, ([name, short]) => `${name} ${short}`);
  const effects = flags(data.effects, ({ effect }) => effect);
  const lines = flags(data.lines, ([name, file, line]) => `${file}:${line} ${name}`);
  const stacks = data.stacks.map((stack) => stack.some((line) => lines[line]));
  const texts = flags(data.texts, (text) => text);
  const touched = flags(data.touched, ([, name]) => name);
  return (row) => {
    const found =
      functions[columns.function[row]] ||
      texts[columns.arguments[row]] ||
      texts[columns.outcome[row]] ||
      stacks[columns.stack[row]] ||
      effects[columns.effect[row]] ||
      touched[columns.touched[row]] ||
      touched[columns.touchedToo[row]];
    return Boolean(found) !== isNot;
  };
}
