import { readFileSync } from 'node:fs';

/** The version in the manifest, which stands one folder above this file in the sources and above the bundle alike. */
export function version(): string {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
}
