// A page of a headless Chromium, driven over its DevTools protocol (a pipe: messages end in NUL), without a library.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromiumFlags } from './chromium.mjs';

/** Opens `url` in a browser of its own. `profile` is a folder that may be thrown away. */
export async function openPage(chromium, url, profile) {
  const browser = spawn(chromium, [...chromiumFlags(profile), '--remote-debugging-pipe', 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const [, , , toBrowser, fromBrowser] = browser.stdio;
  const ended = new Promise((resolve) => browser.on('exit', resolve));
  const waiting = new Map();
  const failAll = (error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  browser.on('error', failAll);
  ended.then((code) => failAll(new Error(`${chromium} ended with code ${code}`)));

  let text = '';
  fromBrowser.setEncoding('utf8');
  fromBrowser.on('data', (part) => {
    const messages = (text + part).split('\0');
    text = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const call = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error.message));
    }
  });

  let last = 0;
  let sessionId;
  const call = (method, params = {}) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      toBrowser.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });

  const close = async () => {
    browser.kill();
    await ended;
  };
  try {
    const { product } = await call('Browser.getVersion');
    const { targetInfos } = await call('Target.getTargets');
    const { targetId } = targetInfos.find(({ type }) => type === 'page');
    ({ sessionId } = await call('Target.attachToTarget', { targetId, flatten: true }));
    /** The value of an expression in the page. */
    const value = async (expression) => {
      const parameters = { expression, returnByValue: true };
      const { result, exceptionDetails } = await call('Runtime.evaluate', parameters);
      if (exceptionDetails !== undefined)
        throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
      return result.value;
    };
    await call('Page.navigate', { url });
    while ((await value('document.readyState')) !== 'complete') await sleep(20);
    return {
      browser: product,
      close,
      value,
      /** Presses the keys of a text, one after the other; a line's end is Enter. */
      async type(keys) {
        for (const character of keys) {
          const key = character === '\n' ? 'Enter' : character;
          await call('Input.dispatchKeyEvent', { type: 'keyDown', key, text: key === 'Enter' ? '\r' : key });
          await call('Input.dispatchKeyEvent', { type: 'keyUp', key });
        }
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
