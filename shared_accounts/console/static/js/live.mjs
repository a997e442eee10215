// New rows of the log on top, as the server draws them. The stream is closed while nobody looks.
const button = document.querySelector('[data-live]');
const MOST = 100;

function follow() {
  const rows = document.querySelector('[data-rows]');
  const stale = document.querySelector('[data-stale]');
  let source = null;
  let since = new Date().toISOString();
  let heard = new Date();

  const wanted = () => button.getAttribute('aria-pressed') === 'true';

  function address() {
    const url = new URL(button.dataset.live, location.href);
    url.searchParams.set('since', since);
    return url;
  }

  function add({ data, lastEventId }) {
    since = lastEventId || since;
    heard = new Date();
    const table = document.createElement('tbody');
    table.innerHTML = data; // a row of ours, escaped by the server
    const row = table.firstElementChild;
    document.getElementById(row.id)?.remove();
    row.classList.add('fresh');
    rows.prepend(row);
    while (rows.children.length > MOST) rows.lastElementChild.remove();
    document.querySelector('[data-filled]').hidden = false;
    document.querySelector('[data-empty]')?.remove();
  }

  function tell(isStale) {
    const time = new Intl.DateTimeFormat(document.documentElement.lang, { hour: '2-digit', minute: '2-digit', hour12: false });
    stale.textContent = stale.dataset.words.replace('%TIME%', time.format(heard));
    stale.hidden = !isStale;
  }

  function listen(on) {
    source?.close();
    source = on ? new EventSource(address()) : null;
    if (!source) return;
    source.addEventListener('open', () => { heard = new Date(); tell(false); });
    source.addEventListener('row', add);
    source.addEventListener('over', () => press(false, true));
    source.addEventListener('error', () => (source.readyState === EventSource.CLOSED ? press(false, true) : tell(true)));
  }

  function press(on, isStale = false) {
    button.setAttribute('aria-pressed', String(on));
    tell(isStale);
    listen(on && !document.hidden);
  }

  button.hidden = false;
  button.addEventListener('click', () => press(!wanted()));
  document.addEventListener('visibilitychange', () => listen(wanted() && !document.hidden));
}

if (button) follow();
