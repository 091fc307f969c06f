import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Complaint } from '../src/errors.ts';
import { checkWritable, type WriteBytes, writeFile } from '../src/write-file.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest86-write-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const pieces = [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4)];

/** Fails as a disk does that has room for so many bytes, which takes them one by one before. */
function diskOf(room: number): WriteBytes {
  let written = 0;
  return (descriptor, bytes, from) => {
    if (written === room) throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    written++;
    return writeSync(descriptor, bytes, from, 1);
  };
}

describe('a file is written as a whole or not at all', () => {
  test('a new one, and one in the place of another', () => {
    const path = join(folder, 'a');
    expect(writeFile(path, pieces)).toBe(4);
    expect([...readFileSync(path)]).toEqual([1, 2, 3, 4]);
    writeFile(path, [Uint8Array.of(9)], diskOf(1));
    expect([...readFileSync(path)]).toEqual([9]);
    expect(readdirSync(folder)).toEqual(['a']);
  });

  test.each([0, 1, 3])('a disk that is full after %i bytes', (room) => {
    const path = join(folder, 'a');
    const write = (): number => writeFile(path, pieces, diskOf(room));
    expect(write).toThrow(new Complaint(`${path}: cannot be written: no space left on the device`));
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(path, 'old');
    expect(write).toThrow(Complaint);
    expect(readdirSync(folder)).toEqual(['a']);
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  test('what goes wrong while the bytes are made', () => {
    function* broken(): Generator<Uint8Array> {
      yield Uint8Array.of(1);
      throw new RangeError('no more');
    }
    expect(() => writeFile(join(folder, 'a'), broken())).toThrow(new RangeError('no more'));
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a symbolic link stays one', () => {
    const [path, link] = [join(folder, 'a'), join(folder, 'link')];
    writeFileSync(path, 'old');
    symlinkSync('a', link);
    writeFile(link, pieces);
    expect(readlinkSync(link)).toBe('a');
    expect(readFileSync(path).length).toBe(4);
  });

  test('what cannot be written is known before there is something to write', () => {
    checkWritable(join(folder, 'a'));
    expect(readdirSync(folder)).toEqual([]);
    for (const act of [checkWritable, (path: string) => writeFile(path, pieces)]) {
      expect(() => act(join(folder, 'b', 'a'))).toThrow('b/a: cannot be written: its folder does not exist');
      expect(() => act(folder)).toThrow(`${folder}: is a directory, not a file`);
      mkdirSync(join(folder, 'c'), { recursive: true });
      writeFileSync(join(folder, 'c', 'file'), '');
      expect(() => act(join(folder, 'c', 'file', 'a'))).toThrow('a part of the path is not a directory');
    }
  });

  test.skipIf(!existsSync('/dev/full'))('a device is written to, not replaced', () => {
    expect(() => writeFile('/dev/full', pieces)).toThrow(
      '/dev/full: cannot be written: no space left on the device',
    );
    writeFile('/dev/null', pieces);
    expect(() => readdirSync('/dev/full')).toThrow('ENOTDIR');
  });
});

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** In a name space of its own, where everybody may mount, and nothing stays mounted. */
const inNamespace = (script: string) =>
  spawnSync('unshare', ['-rm', 'bash', '-c', script], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, FOLDER: folder, NODE: process.execPath },
  });
const canMount = inNamespace('mount -t tmpfs none /mnt').status === 0;

test.skipIf(!canMount)(
  'the command on a disk that is full, with an old snapshot and without',
  () => {
    const { stdout, stderr } = inNamespace(`
    mount -t tmpfs -o size=16k none "$FOLDER"
    run() { "$NODE" --conditions=nest86-source --import tsx packages/cli/src/main.ts run --kernel guests/bench/bench.elf --memory 8M --append "only=alu scale=0" \\
      --save "$FOLDER/a.snap" >/dev/null; echo "exit $?"; }
    run
    ls -A "$FOLDER"
    echo old >"$FOLDER/a.snap"
    run
    ls -A "$FOLDER"; cat "$FOLDER/a.snap"`);
    expect(stdout).toBe('exit 1\nexit 1\na.snap\nold\n');
    const line = `nest86 run: ${folder}/a.snap: cannot be written: no space left on the device\n`;
    expect(stderr).toBe(line + line);
  },
  60_000,
);
