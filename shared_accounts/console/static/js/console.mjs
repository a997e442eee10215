// Everything here only adds to pages that already work: copy, dialogs, chart read-outs, menus.
import './dialog.mjs';
import './chart.mjs';
import './presets.mjs';
import './zone.mjs';
import './drawer.mjs';
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
  leave(event.target);
});

// A menu is done with once something else is clicked or reached by keyboard.
function leave(target) {
  for (const menu of document.querySelectorAll('.menu[open]')) if (!menu.contains(target)) menu.open = false;
}
document.addEventListener('focusin', (event) => leave(event.target));

document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' && event.target.closest('.menu[open]');
  if (!menu) return;
  event.preventDefault();  // else the drawer or the dialog it stands in would close as well
  menu.open = false;
  menu.querySelector('summary').focus();
});
