// A link with data-dialog opens the page it leads to inside <dialog>; without script it simply leads there.
import { explain } from './presets.mjs';

const dialog = document.getElementById('dialog');

async function open(link) {
  const answer = await fetch(link.href, { headers: { 'X-Fragment': 'dialog', Accept: 'text/html' } });
  if (!answer.ok || answer.redirected) throw new Error(answer.status);
  dialog.innerHTML = await answer.text();
  explain(dialog);
  dialog.showModal();
}

document.addEventListener('click', (event) => {
  if (!dialog) return;
  const link = event.target.closest('a[data-dialog]');
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    open(link).catch(() => location.assign(link.href));
  }
  if (event.target === dialog || event.target.closest('dialog [data-close]')) {
    event.preventDefault();
    dialog.close();
  }
});
