// What the page is made of. Text is always text: nothing here parses HTML.

// visible shows characters that would hide, or turn others around, by their number.
export const visible = text => String(text).replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu,
  c => c === '\t' ? c : '\\u{' + c.codePointAt(0).toString(16) + '}');

const SVG = 'http://www.w3.org/2000/svg';

// h makes an element. Children are elements, or texts, which are made visible.
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(c => c != null && c !== false).map(c => c instanceof Node ? c : visible(c)));
  return element;
}

// facts is a list of names and values, where there is a value.
export const facts = pairs => h('dl', {}, pairs.filter(([, value]) => value != null && value !== '')
  .map(([name, value, code]) => [h('dt', {}, name), h('dd', code ? {class: 'code'} : {}, value)]));

export const number = n => Number(n).toLocaleString('en-US');

// time writes seconds since 1970 as people read them, in UTC.
export const time = seconds => new Date(seconds * 1000).toISOString().replace('T', ' ').replace('.000Z', ' UTC');

// dated puts times in the place of the seconds that the prover writes.
export const dated = text => !text.includes('seconds since 1970') ? text :
  text.replace(/,? ?\(?(in )?seconds since 1970(, UTC)?\)?/g, '').replace(/\b\d{9,11}\b/g, n => time(Number(n)));

// download is a link that saves a text as a file.
export function download(name, text, label) {
  const a = h('a', {class: 'button plain', download: name, href: '#'}, label);
  a.href = URL.createObjectURL(new Blob([text], {type: 'application/octet-stream'}));
  return a;
}

export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(c => c != null && c !== false));
}

export const base64 = bytes => {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
};

export const unbase64 = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

export const hex = bytes => Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('');
