// The bare page: what the machine in the worker says, and the keys that are typed to it. `?append=…&processors=…&accel=…&clock=…` chooses the machine.
const terminal = document.getElementById('terminal');
const end = document.getElementById('end');
const worker = new Worker('worker.js', { type: 'module' });

/** A terminal would obey these; this is none. */
const escapeKey = '\x1b';
const controls = new RegExp(`${escapeKey}\\[[0-9;?]*[A-Za-z]|\r`, 'g');
const keys = { Enter: '\r', Backspace: '\x7f', Tab: '\t', Escape: escapeKey };

worker.onmessage = ({ data: { text, ended } }) => {
  if (text !== undefined) terminal.append(text.replace(controls, ''));
  if (ended !== undefined) end.textContent = ended;
};
worker.onerror = ({ message }) => {
  end.textContent = `error: ${message ?? 'the worker cannot be loaded'}`;
};
addEventListener('keydown', (event) => {
  const { key, ctrlKey } = event;
  const typed = keys[key] ?? (key.length === 1 ? key : '');
  if (typed === '') return;
  worker.postMessage({ typed: ctrlKey ? String.fromCharCode(typed.charCodeAt(0) & 31) : typed });
  event.preventDefault();
});
worker.postMessage({ start: Object.fromEntries(new URLSearchParams(location.search)) });
