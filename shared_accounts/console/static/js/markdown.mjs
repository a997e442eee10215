// Markdown as a tree of elements that are made here one by one: what somebody else wrote is only ever text.
// Known: headings, lists, tables, quotes, rules, code, emphasis, links to http(s). All else stays as it was written.
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.+?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;
const INLINE = [
  [/^(`+)([^]*?[^`])\1(?!`)/, (found) => made('code', found[2].trim())],
  [/^\*\*(?=\S)([^]*?\S)\*\*/, (found) => inside('strong', found[1])],
  [/^__(?=\S)([^]*?\S)__(?!\w)/, (found) => inside('strong', found[1])],
  [/^~~(?=\S)([^]*?\S)~~/, (found) => inside('del', found[1])],
  [/^\*(?=[^\s*])([^*]*[^\s*])\*/, (found) => inside('em', found[1])],
  [/^_(?=[^\s_])([^_]*[^\s_])_(?!\w)/, (found) => inside('em', found[1])],
  [/^!?\[([^\]\n]*)\]\((\S+?)(?:\s+"[^"\n]*")?\)/, (found) => link(found[2], found[1])],
  [/^<(https?:\/\/[^\s<>]+)>/, (found) => link(found[1], found[1])],
  [/^https?:\/\/[^\s<>()]*[^\s<>().,;:!?'"]/, (found) => link(found[0], found[0])],
];
const DEEPEST = 12;
const FAR = 4000; // no emphasis reaches further: else many stars would take long to tell apart
let depth = 0;

export function markdown(text, words = {}) {
  const tree = document.createDocumentFragment();
  tree.append(...blocks(text.replace(/\r\n?/g, '\n').split('\n'), words));
  return tree;
}

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function inside(name, text) {
  const element = document.createElement(name);
  element.append(...inline(text));
  return element;
}

// Any other scheme, such as javascript:, stays text.
function link(address, text) {
  if (!/^https?:\/\//i.test(address)) return document.createTextNode(text || address);
  const element = made('a', text || address);
  element.href = address;
  element.target = '_blank';
  element.rel = 'noopener noreferrer';
  return element;
}

function inline(text) {
  if (depth >= DEEPEST) return [document.createTextNode(text)];
  depth += 1;
  const nodes = [];
  let plain = '';
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at, at + FAR);
    const before = text[at - 1] ?? ' ';
    if (rest[0] === '\\' && /[!-/:-@[-`{-~]/.test(rest[1] ?? '')) { plain += rest[1]; at += 2; continue; }
    const [pattern, build] = /[`*_~[!<h]/.test(rest[0]) ? INLINE.find(([one]) => fits(one, rest, before)) ?? [] : [];
    if (!pattern) { plain += rest[0]; at += 1; continue; }
    const found = rest.match(pattern);
    if (plain) nodes.push(document.createTextNode(plain));
    plain = '';
    nodes.push(build(found));
    at += found[0].length;
  }
  if (plain) nodes.push(document.createTextNode(plain));
  depth -= 1;
  return nodes;
}

function fits(pattern, rest, before) {
  return (!/[_h]/.test(rest[0]) || !/\w/.test(before)) && pattern.test(rest);
}

function blocks(lines, words) {
  const found = [];
  depth += 1;
  while (lines.length) {
    if (!lines[0].trim()) { lines.shift(); continue; }
    const deep = depth < DEEPEST && !RULE.test(lines[0]) && (quote(lines, words) ?? list(lines, words));
    found.push(deep || (fence(lines, words) ?? heading(lines) ?? rule(lines) ?? table(lines) ?? paragraph(lines)));
  }
  depth -= 1;
  return found;
}

function fence(lines, words) {
  const found = lines[0].match(FENCE);
  if (!found) return null;
  lines.shift();
  const body = [];
  while (lines.length && !(lines[0].trim().startsWith(found[1]) && !lines[0].trim().replaceAll(found[1][0], ''))) body.push(lines.shift());
  lines.shift();
  const block = document.createElement('pre');
  block.tabIndex = 0;
  block.setAttribute('role', 'region');
  block.setAttribute('aria-label', found[2] || words.code || 'code');
  block.append(made('code', body.join('\n')));
  return block;
}

function heading(lines) {
  const found = lines[0].match(HEADING);
  if (!found) return null;
  lines.shift();
  return inside(`h${Math.min(6, found[1].length + 2)}`, found[2]);
}

function rule(lines) {
  if (!RULE.test(lines[0])) return null;
  lines.shift();
  return document.createElement('hr');
}

function quote(lines, words) {
  if (!QUOTE.test(lines[0])) return null;
  const body = [];
  while (lines.length && QUOTE.test(lines[0])) body.push(lines.shift().match(QUOTE)[1]);
  const element = document.createElement('blockquote');
  element.append(...blocks(body, words));
  return element;
}

function list(lines, words) {
  const first = lines[0].match(ITEM);
  if (!first) return null;
  const numbered = /\d/.test(first[2]);
  const element = document.createElement(numbered ? 'ol' : 'ul');
  if (numbered && parseInt(first[2], 10) !== 1) element.start = parseInt(first[2], 10);
  for (let found; lines.length && (found = lines[0].match(ITEM)) && found[1].length <= first[1].length + 1 && /\d/.test(found[2]) === numbered;) {
    lines.shift();
    const body = [found[3]];
    const deep = found[1].length + 2;
    const margin = new RegExp(`^ {0,${deep}}`);
    while (lines.length && belongs(lines, deep)) body.push(lines.shift().replace(margin, ''));
    const item = document.createElement('li');
    const [head, ...rest] = blocks(body, words);
    if (head?.tagName === 'P') item.append(...head.childNodes); else if (head) item.append(head);
    item.append(...rest);
    element.append(item);
    while (lines.length > 1 && !lines[0].trim() && ITEM.test(lines[1])) lines.shift();
  }
  return element;
}

function belongs(lines, deep) {
  const next = lines[0].trim() ? lines[0] : lines[1] ?? '';
  if (next.startsWith(' '.repeat(deep))) return true;
  return Boolean(lines[0].trim()) && !ITEM.test(lines[0]) && !HEADING.test(lines[0]) && !FENCE.test(lines[0]);
}

function table(lines) {
  if (lines.length < 2 || !lines[0].includes('|') || !DIVIDER.test(lines[1])) return null;
  const rows = [cells(lines.shift())];
  lines.shift();
  while (lines.length && lines[0].includes('|')) rows.push(cells(lines.shift()));
  const element = document.createElement('table');
  element.className = 'table';
  for (const [place, row] of rows.entries()) {
    const line = document.createElement('tr');
    line.append(...rows[0].map((_, column) => inside(place ? 'td' : 'th', row[column] ?? '')));
    element.append(line);
  }
  return element;
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, '').split('|').map((cell) => cell.trim());
}

function paragraph(lines) {
  const body = [];
  while (lines.length && lines[0].trim() && !(body.length && starts(lines[0]))) body.push(lines.shift().trim());
  const element = document.createElement('p');
  for (const [place, line] of body.entries()) {
    if (place) element.append(document.createElement('br'));
    element.append(...inline(line));
  }
  return element;
}

function starts(line) {
  return FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || RULE.test(line) || ITEM.test(line);
}
