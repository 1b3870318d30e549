// Elements. Whatever a traced program said goes in as text: nothing here makes markup of it.

const $ = (id) => document.getElementById(id);

/** An element with properties (`class`, `data-x`, `aria-x` and other attributes, `on…` listeners) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    // Of `aria-x` true and false are values; of others they are there or not.
    const isFlag = typeof value === 'boolean' && !name.startsWith('aria-');
    if (value === undefined || value === null || (isFlag && !value)) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, isFlag ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A colour that the style sheet has, as it is now: light or dark. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The colour of a group of effects. */
function groupColour(place) {
  return colour(`--group-${groups[place].name}`) || colour('--group-other');
}

function swatch(place) {
  return make('i', { class: `swatch group-${groups[place].name}` });
}

/** Fits a canvas to its box and to the screen's pixels; its context, width and height. */
function prepare(canvas, height) {
  const width = Math.max(canvas.parentElement.clientWidth, 50);
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Calls `what` at the next frame, once however often it is asked for. */
function later(what) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      what();
    });
  };
}

/** Shows a tip beside a place in its box. */
function showTip(tip, x, y, ...lines) {
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const box = tip.parentElement;
  const left = Math.min(x + 12, box.clientWidth - tip.offsetWidth - 4);
  tip.style.left = `${Math.max(left, 0)}px`;
  tip.style.top = `${y + 14}px`;
}
