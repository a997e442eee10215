// While an upstream is chosen, its usual address, the look of its keys and where to get one stand beside the fields.
export function explain(root) {
  const choice = root.querySelector('[data-presets]');
  if (!choice) return;
  const address = root.querySelector('#base_url');
  const key = root.querySelector('#api_key');
  const links = root.querySelector('[data-preset-links]');

  function show() {
    const chosen = choice.selectedOptions[0].dataset;
    address.placeholder = chosen.address;
    address.required = !chosen.address;
    key.placeholder = chosen.hint;
    for (const [name, url] of [['key', chosen.page], ['terms', chosen.terms]]) {
      const link = links.querySelector(`[data-${name}-page]`);
      link.hidden = !url;
      link.href = url || '#';
    }
    links.hidden = !chosen.page;
  }

  choice.addEventListener('change', show);
  show();
}

explain(document);
