// Everything here only adds to pages that already work: copy, dialogs, chart read-outs, menus.
import './dialog.mjs';
import './chart.mjs';
import './presets.mjs';
import './zone.mjs';
import { toast } from './toast.mjs';

for (const button of document.querySelectorAll('[data-copy]')) button.hidden = false;

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (button) {
    const words = document.querySelector('.toasts').dataset;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      toast(words.copied);
    } catch {
      toast(words.failed);
    }
  }
  for (const menu of document.querySelectorAll('.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' && event.target.closest('.menu[open]');
  if (menu) { menu.open = false; menu.querySelector('summary').focus(); }
});
