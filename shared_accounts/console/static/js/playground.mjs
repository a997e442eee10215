// A talk with a model. It lies in this page and nowhere else; reloading forgets it. Without script the form does the same.
import { markdown } from './markdown.mjs';
import { events } from './stream.mjs';
import { wishes } from './wishes.mjs';

const play = document.querySelector('[data-playground]');
const part = (name) => play.querySelector(`[data-${name}]`);
const token = { 'X-CSRF-Token': play?.querySelector('[name=csrf]').value };
const PATIENCE = [0, 100, 250, 500, 1000, 2000, 4000, 8000, 16000];

function begin() {
  const [talk, form, send, stop, anew, rest, status] = ['talk', 'composer', 'send', 'stop', 'anew', 'rest', 'status'].map(part);
  const words = JSON.parse(play.dataset.words);
  const { model, say } = form.elements;
  const wished = wishes(form);
  let turns = [...form.querySelectorAll('[name=said]')].map((one, place) => ({ role: place % 2 ? 'assistant' : 'user', content: one.value }));
  let running = null;

  function busy(on) {
    send.hidden = on;
    stop.hidden = !on;
    anew.hidden = on || !talk.querySelector('article');
    talk.setAttribute('aria-busy', String(on));
  }

  function showLeft() {
    rest.textContent = model.selectedOptions[0].dataset.left;
  }

  function said(text) {
    const mine = document.createElement('article');
    mine.className = 'said-by said-you';
    const words = document.createElement('div');
    words.className = 'prose plain';
    words.textContent = text;
    mine.append(words);
    part('begin')?.remove();
    const answer = part('answer').content.cloneNode(true).firstElementChild;
    answer.querySelector('h2').textContent = model.value;
    talk.append(mine, answer);
    answer.scrollIntoView({ block: 'end' });
    return answer;
  }

  async function ask(text) {
    const answer = said(text);
    const messages = [...turns, { role: 'user', content: text }];
    running = new AbortController();
    busy(true);
    const got = { text: '', id: null, group: model.selectedOptions[0].dataset.group };
    try {
      const reply = await fetch(play.dataset.playground, {
        method: 'POST', signal: running.signal,
        headers: { ...token, 'Content-Type': 'application/json', Accept: 'text/event-stream, application/json;q=0.9' },
        body: JSON.stringify({ model: model.value, messages: [...wished.before(), ...messages], ...wished.beside(), stream: true }),
      });
      if (reply.redirected) return location.reload();
      got.id = reply.headers.get('X-Exchange-Id');
      if (!reply.ok) return refuse(answer, text, await reply.json());
      await listen(answer, reply, got);
      status.textContent = words.answered;
    } catch (error) {
      note(answer, error.name === 'AbortError' ? words.stopped : words.lost);
    } finally {
      running = null;
      busy(false);
    }
    if (got.text) turns = [...messages, { role: 'assistant', content: got.text }];
    await explain(answer, got);
  }

  async function listen(answer, reply, got) {
    const pen = writing(answer, got);
    try {
      if (!reply.headers.get('Content-Type').includes('event-stream')) {
        got.text = (await reply.json()).choices?.[0]?.message?.content ?? '';
        return;
      }
      for await (const data of events(reply.body)) {
        if (data === '[DONE]') return;
        const frame = JSON.parse(data);
        const delta = frame.choices?.[0]?.delta ?? {};
        got.text += delta.content ?? '';
        think(answer, delta.reasoning_content ?? delta.reasoning);
        if (frame.error) note(answer, words[frame.error.code] ?? frame.error.message);
        pen.due();
      }
    } finally {
      pen.done();
    }
  }

  // Draws the answer anew at most ten times a second, however fast it comes.
  function writing(answer, got) {
    const place = answer.querySelector('[data-text]');
    let timer = null;
    const draw = () => {
      timer = null;
      const low = innerHeight + scrollY > document.documentElement.scrollHeight - 120;
      if (got.text) place.replaceChildren(markdown(got.text, words));
      if (low) scrollTo(0, document.documentElement.scrollHeight);
    };
    return {
      due: () => { timer ??= setTimeout(draw, 100); },
      done: () => { clearTimeout(timer); draw(); place.querySelector('.bone-text')?.remove(); },
    };
  }

  function think(answer, text) {
    if (!text) return;
    const thoughts = answer.querySelector('.thoughts');
    thoughts.hidden = false;
    thoughts.querySelector('.plain').textContent += text;
  }

  function note(answer, text) {
    answer.querySelector('.bone-text')?.remove();
    const line = document.createElement('p');
    line.className = 'cut';
    line.textContent = text;
    answer.append(line);
    status.textContent = text;
  }

  function refuse(answer, text, { refusal, message }) {
    const { kind = 'bad', title = message, text: why = '', links = [] } = refusal ?? {};
    const box = part('refusal').content.querySelector(`.callout-${kind}`).cloneNode(true);
    const [head, body] = box.querySelectorAll('p');
    head.textContent = title;
    body.textContent = why;
    if (links.length) box.querySelector('.callout-text').append(buttons(links));
    answer.querySelector('[data-text]').replaceWith(box);
    if (!say.value) say.value = text;
  }

  function buttons(links) {
    const row = document.createElement('div');
    row.className = 'do';
    for (const [place, { href, text }] of links.entries()) row.append(anchor(href, text, `btn btn-sm ${place ? 'btn-quiet' : 'btn-plain'}`));
    return row;
  }

  function anchor(href, text, looks = '') {
    const element = document.createElement('a');
    element.href = href;
    element.textContent = text;
    if (looks) element.className = looks;
    return element;
  }

  // What it took is known a moment after the answer has ended, when its line is closed.
  async function explain(answer, got) {
    if (!got.id) return;
    for (const pause of PATIENCE) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      const reply = await fetch(`${play.dataset.playground}/${got.id}`, { headers: { Accept: 'application/json' } }).catch(() => null);
      const after = reply?.ok ? await reply.json() : null;
      if (!after?.is_over) continue;
      const line = document.createElement('p');
      line.className = 'after';
      for (const fact of after.facts) {
        const span = document.createElement('span');
        span.className = 'num';
        span.textContent = fact;
        line.append(span);
      }
      line.append(anchor(after.href, after.text));
      answer.append(line);
      if (after.left) remember(got.group, after.left);
      return;
    }
  }

  function remember(group, text) {
    for (const option of model.options) if (option.dataset.group === group) option.dataset.left = text;
    showLeft();
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const text = say.value.trim();
    if (!text || running) return;
    say.value = '';
    ask(text);
  });
  say.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  stop.addEventListener('click', () => { running?.abort(); say.focus(); });
  anew.addEventListener('click', () => { turns = []; talk.replaceChildren(); busy(false); say.focus(); });
  model.addEventListener('change', () => showLeft());
  showLeft();
  busy(false);
}

if (play) begin();
