/**
 * `pnpm fuzz:lockstep [--seconds N] [--seed N] [--count N] [--heat N] [--tlb NAME] [--no-host] [--no-minimize]`: random programs with branches,
 * faults and self-modification, interpreted and compiled side by side in slices of random length; every fourth session programs that the host
 * processor can run, too. Ends with how many programs there were and what was found; exit 1 if anything was. `--seed` with `--count 1` repeats one
 * program. Programs run in a child process, so that one that hangs or brings V8 down is a finding like others. Comparing with the host needs gcc and
 * an x86-64 processor.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { TlbName } from '@nest86/mmu';
import { HostSession, hostSeeds } from './fuzz/host-session.ts';
import { type Finding, Session, sessionSize } from './fuzz/session.ts';

/** What the child tells: what it is doing, what it found, how far it came. */
type Message =
  | { readonly kind: 'at'; readonly seed: number }
  | { readonly kind: 'finding'; readonly finding: Finding }
  | { readonly kind: 'session'; readonly text: string; readonly next: number; readonly programs: number };

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    count: { type: 'string' },
    heat: { type: 'string' },
    tlb: { type: 'string' },
    'no-host': { type: 'boolean' },
    'no-minimize': { type: 'boolean' },
    // Of the child: when to stop, as Date.now has it.
    child: { type: 'string' },
    help: { type: 'boolean' },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000) * sessionSize);
const count = Number(values.count ?? Number.MAX_SAFE_INTEGER);
const tlbNames = ['set-associative', 'exact', 'chaos', 'none'];
if (
  values.help ||
  !(seconds > 0) ||
  !Number.isSafeInteger(firstSeed) ||
  !(count > 0) ||
  (values.tlb !== undefined && !tlbNames.includes(values.tlb))
) {
  console.error(
    `usage: pnpm fuzz:lockstep [--seconds N] [--seed INTEGER] [--count N] [--heat N] [--tlb ${tlbNames.join('|')}] [--no-host] [--no-minimize]`,
  );
  process.exit(values.help ? 0 : 2);
}
/** A program takes milliseconds, its minimising half a minute where each attempt starts the native harness. */
const hangSeconds = 120;
const end = values.child === undefined ? Date.now() + seconds * 1000 : Number(values.child);

if (values.child !== undefined) await work(firstSeed, count);
else process.exitCode = await supervise();

async function tell(message: Message): Promise<void> {
  await new Promise<void>((resolve) => process.send?.(message, () => resolve()));
}

/** The child: programs from a seed on, until time or count is up. */
async function work(from: number, most: number): Promise<void> {
  let seed = from;
  while (Date.now() < end && seed - from < most) {
    const number = Math.floor(seed / sessionSize);
    const stop = Math.min((number + 1) * sessionSize, from + most);
    const first = seed;
    const isHost = hostSeeds(number) && !values['no-host'];
    const session = isHost
      ? new HostSession(number)
      : new Session(number, {
          heat: values.heat === undefined ? undefined : Number(values.heat),
          tlb: values.tlb as TlbName | undefined,
          minimize: !values['no-minimize'],
        });
    for (; seed < stop && Date.now() < end; seed++) {
      await tell({ kind: 'at', seed });
      const finding = session.run(seed);
      if (finding !== undefined) await tell({ kind: 'finding', finding });
    }
    await tell({ kind: 'session', text: session.summary, next: seed, programs: seed - first });
  }
  process.disconnect?.();
}

/** The parent: starts a child, and another one behind the program that ended it. */
async function supervise(): Promise<number> {
  const findings: string[] = [];
  let programs = 0;
  let next = firstSeed;
  console.log(`seed ${firstSeed}, Node ${process.version}`);
  while (Date.now() < end && next - firstSeed < count) {
    const from = next;
    let at = next;
    const child = fork(
      fileURLToPath(import.meta.url),
      [
        ...process.argv.slice(2),
        ...['--child', `${end}`, '--seed', `${from}`, '--count', `${count - (from - firstSeed)}`],
      ],
      { execArgv: process.execArgv },
    );
    let lastNews = Date.now();
    child.on('message', (message: Message) => {
      lastNews = Date.now();
      if (message.kind === 'at') at = message.seed;
      else if (message.kind === 'finding') {
        findings.push(message.finding.text);
        console.log(message.finding.text);
      } else {
        programs += message.programs;
        next = message.next;
        console.log(`seeds from ${message.next - message.programs}: ${message.text}`);
      }
    });
    let isHanging = false;
    const watch = setInterval(() => {
      isHanging = Date.now() - lastNews > hangSeconds * 1000;
      if (isHanging) child.kill('SIGKILL');
    }, 1000);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
      child.on('exit', (exitCode, exitSignal) => resolve([exitCode, exitSignal])),
    );
    clearInterval(watch);
    if (code === 0) continue;
    const text = `seed ${at}: ${isHanging ? `no end after ${hangSeconds} s` : `the process ended with ${code ?? signal}`}`;
    findings.push(text);
    console.log(text);
    next = at + 1;
  }
  console.log(`programs: ${programs}`);
  console.log(`findings: ${findings.length}`);
  return findings.length > 0 ? 1 : 0;
}
