// While the drawer is open, the keyboard stays in it; the browser itself gives the focus back to the button.
const drawer = document.getElementById('drawer');
const behind = document.querySelectorAll('.skip, .bar, main, .tabs');

drawer?.addEventListener('toggle', ({ newState }) => {
  if (newState !== 'open') return;
  drawer.querySelector('.drawer-close').focus();
  for (const one of behind) one.inert = true;
});
// Before it closes: what is inert takes no focus.
drawer?.addEventListener('beforetoggle', ({ newState }) => {
  if (newState === 'closed') for (const one of behind) one.inert = false;
});
