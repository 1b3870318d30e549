// Long lists: only the rows in sight are elements, however many there are.

/** Browsers cannot make elements much higher; beyond it the scroll bar moves by more than a pixel a pixel. */
const MAX_HEIGHT = 8e6;
const ROW_HEIGHT = 28;
/** Rows of a list on paper. */
const PRINTED = 40;

const lists = [];
let isPrinting = false;

/** Makes all lists as they are on paper: their first rows, or as on a screen again. */
function printLists(is) {
  isPrinting = is;
  for (const list of lists) list.render();
}

class List {
  /**
   * `fill(row, index)` puts cells into the element of a row; `open(index)`: the row was chosen.
   * `head`: an element above the rows that scrolls sideways with them.
   */
  constructor({ head, label, fill, open, empty }) {
    this.fill = fill;
    this.open = open;
    this.count = 0;
    this.scale = 1;
    this.at = NONE;
    this.space = make('div', { class: 'space' });
    this.empty = make('p', { class: 'empty' }, empty);
    this.element = make(
      'div',
      {
        class: 'list',
        tabindex: '0',
        role: 'grid',
        'aria-label': label,
        onkeydown: (event) => this.key(event),
      },
      head,
      this.space,
      this.empty,
    );
    this.draw = later(() => this.render());
    this.element.addEventListener('scroll', this.draw, { passive: true });
    this.space.addEventListener('click', (event) => this.click(event));
    new ResizeObserver(this.draw).observe(this.element);
    lists.push(this);
  }

  /** There are so many rows now. */
  show(count) {
    this.count = count;
    this.at = NONE;
    this.scale = Math.max((count * ROW_HEIGHT) / MAX_HEIGHT, 1);
    this.space.style.height = `${(count * ROW_HEIGHT) / this.scale}px`;
    this.empty.hidden = count > 0;
    this.element.setAttribute('aria-rowcount', count);
    this.element.scrollTop = 0;
    this.render();
  }

  inSight() {
    return Math.max(Math.ceil((this.element.clientHeight - this.headHeight()) / ROW_HEIGHT), 1);
  }

  headHeight() {
    return this.space.offsetTop;
  }

  first() {
    return Math.floor((this.element.scrollTop * this.scale) / ROW_HEIGHT);
  }

  /** The first and the one behind the last row in sight. */
  window() {
    if (isPrinting) return [0, Math.min(PRINTED, this.count)];
    const first = Math.min(this.first(), Math.max(this.count - 1, 0));
    return [first, Math.min(first + this.inSight() + 1, this.count)];
  }

  /** Makes the rows in sight. */
  render() {
    const [first, behind] = this.window();
    const top =
      this.scale > 1 ? this.element.scrollTop - (this.first() - first) * ROW_HEIGHT : first * ROW_HEIGHT;
    const rows = [];
    for (let index = first; index < behind; index += 1) {
      const row = make('div', {
        class: `row${index === this.at ? ' at' : ''}`,
        role: 'row',
        'aria-rowindex': index + 1,
        'aria-selected': index === this.at,
      });
      row.index = index;
      row.style.top = `${top + (index - first) * ROW_HEIGHT}px`;
      this.fill(row, index);
      rows.push(row);
    }
    this.space.replaceChildren(...rows);
    const left = this.count - behind;
    if (isPrinting && left > 0)
      this.space.append(make('p', { class: 'more' }, `${format.count(left)} more are not printed`));
  }

  /** Brings a row into sight, `above` rows below the first. */
  reveal(index, above = 0) {
    this.element.scrollTop = (Math.max(index - above, 0) * ROW_HEIGHT) / this.scale;
    this.render();
  }

  choose(index) {
    if (index < 0 || index >= this.count) return;
    this.at = index;
    const first = this.first();
    const whole = Math.max(this.inSight() - 1, 1);
    if (index < first + 1) this.reveal(index);
    else if (index >= first + whole) this.reveal(index - whole + 1);
    else this.render();
  }

  click(event) {
    const row = event.target.closest('.row');
    if (!row || event.target.closest('button')) return;
    this.at = row.index;
    this.render();
    this.open(row.index);
  }

  key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(this.inSight() - 2, 1);
    const last = this.count - 1;
    const at = Math.max(this.at, 0);
    const moves = {
      ArrowDown: () => this.choose(this.at < 0 ? this.first() : Math.min(at + 1, last)),
      ArrowUp: () => this.choose(Math.max(at - 1, 0)),
      PageDown: () => this.choose(Math.min(at + page, last)),
      PageUp: () => this.choose(Math.max(at - page, 0)),
      Home: () => this.choose(0),
      End: () => this.choose(last),
      Enter: () => this.at >= 0 && this.open(this.at),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }
}

/** A column of {@link Table} with numbers: `value(entry)` as `text(number, entry)`. */
const numeric = (label, title, value, text, width = '6em') => ({
  label,
  title,
  number: true,
  width,
  value,
  cell: (entry) => text(value(entry), entry),
});

/**
 * A list with columns that sort. A column has `label`, `title`, `width` (of CSS grid), `number` (to the right),
 * `cell(entry)`: text or element, `value(entry)`: what it is sorted by; numbers begin with the largest.
 */
class Table {
  constructor({ label, columns: all, sort, open, empty }) {
    this.columns = all;
    this.entries = [];
    this.sorted = sort;
    this.downward = true;
    const widths = all.map(({ width }) => width).join(' ');
    this.head = make(
      'div',
      { class: 'row headings', role: 'row' },
      ...all.map((column) => this.heading(column)),
    );
    this.head.style.gridTemplateColumns = widths;
    this.list = new List({
      head: this.head,
      label,
      empty,
      open: (index) => open(this.entries[index]),
      fill: (row, index) => {
        row.style.gridTemplateColumns = widths;
        row.append(...all.map((column) => this.cell(column, this.entries[index])));
      },
    });
    this.element = this.list.element;
  }

  heading(column) {
    const button = make(
      'button',
      { type: 'button', title: column.title, onclick: () => this.sortBy(column) },
      column.label,
    );
    return make('div', { class: column.number ? 'number' : '', role: 'columnheader' }, button);
  }

  cell(column, entry) {
    const content = column.cell(entry);
    const title = typeof content === 'string' ? content : content.title;
    const value = column.number ? column.value(entry) : null;
    return make(
      'div',
      { class: column.number ? 'number' : 'text', role: 'gridcell', title, 'data-value': value },
      content,
    );
  }

  sortBy(column) {
    this.downward = this.sorted === column.label ? !this.downward : Boolean(column.number);
    this.sorted = column.label;
    this.show(this.entries);
  }

  show(entries) {
    const place = this.columns.findIndex(({ label }) => label === this.sorted);
    const { value } = this.columns[place];
    const sign = this.downward ? -1 : 1;
    const compare = (a, b) => (typeof a === 'string' ? a.localeCompare(b) : a - b);
    this.entries = entries.sort((a, b) => sign * compare(value(a), value(b)));
    [...this.head.children].forEach((heading, n) => {
      if (n === place) heading.setAttribute('aria-sort', this.downward ? 'descending' : 'ascending');
      else heading.removeAttribute('aria-sort');
    });
    this.list.show(entries.length);
  }
}
