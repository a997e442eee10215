// What a talk is asked for besides its words. Both may be left out; they stand in this page alone, and go along when filled in.
export function wishes(form) {
  const { system, temperature } = form.elements;
  // A field in a closed box cannot be shown to be wrong.
  temperature.addEventListener('invalid', () => { temperature.closest('details').open = true; });
  return {
    before: () => (system.value.trim() ? [{ role: 'system', content: system.value.trim() }] : []),
    beside: () => (temperature.value ? { temperature: temperature.valueAsNumber } : {}),
  };
}
