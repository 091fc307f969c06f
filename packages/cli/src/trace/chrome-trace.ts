import { EventKind, type RecordedEvent, type TraceRecorder } from './recorder.ts';

/*
 * The JSON that Perfetto and Chrome open ("Trace Event Format", the object form): a track for each virtual processor, microseconds of guest time.
 */

/** Characters of a piece of the file. */
const pieceLength = 1 << 16;

/** SDM vol. 3, table 6-1. */
const exceptions: readonly (string | undefined)[] =
  '#DE #DB NMI #BP #OF #BR #UD #NM #DF - #TS #NP #SS #GP #PF - #MF #AC #MC #XM #VE #CP'.split(' ');
/** Types of delivered events, as `MachineObserver` has them. */
const interruptType = 0;
const softwareInterruptType = 4;

/** The file, piece by piece. @param end when the run ended, nanoseconds @param processors of the machine */
export function* chromeTrace(
  recorder: TraceRecorder,
  processors: number,
  end: number,
): Generator<Uint8Array, void, undefined> {
  const encoder = new TextEncoder();
  const forgotten = recorder.total - recorder.count;
  let text = `{"displayTimeUnit":"ns","otherData":{"forgottenEvents":${forgotten}},"traceEvents":[\n`;
  text += record({ ph: 'M', pid: 1, name: 'process_name', args: { name: 'nest86' } }).slice(2);
  for (let tid = 0; tid < processors; tid++) {
    text += record({ ph: 'M', pid: 1, tid, name: 'thread_name', args: { name: `processor ${tid}` } });
    text += record({ ph: 'M', pid: 1, tid, name: 'thread_sort_index', args: { sort_index: tid } });
  }
  const asleep = new Set<number>();
  for (const event of recorder.events()) {
    const { kind, processor, time } = event;
    // How a sleep began may be forgotten.
    if (kind === EventKind.wake && !asleep.delete(processor)) continue;
    if (kind === EventKind.sleep) asleep.add(processor);
    text += `,\n${eventText(event, recorder.names, placeOf(processor, time))}`;
    if (text.length < pieceLength) continue;
    yield encoder.encode(text);
    text = '';
  }
  for (const processor of asleep) text += `,\n{"ph":"E",${placeOf(processor, end)}}`;
  yield encoder.encode(`${text}\n]}\n`);
}

function record(value: unknown): string {
  return `,\n${JSON.stringify(value)}`;
}

/** Whose event it is, and when. */
function placeOf(processor: number, time: number): string {
  return `"pid":1,"tid":${processor},"ts":${(time / 1000).toFixed(3)}`;
}

function eventText(event: RecordedEvent, names: readonly string[], place: string): string {
  const { kind, first, second, third } = event;
  const port = `port ${hex(first)}`;
  switch (kind) {
    case EventKind.sleep:
      return `{"ph":"B","cat":"sleep","name":"waits",${place}}`;
    case EventKind.wake:
      return `{"ph":"E",${place}}`;
    case EventKind.delivery:
      return deliveryText(event, place);
    case EventKind.compilation:
      return instant('compiler', 'region compiled', place, {
        blocks: first,
        instructions: second,
        bytes: third,
      });
    case EventKind.portRead:
      return instant('port', `IN ${port}`, place, { bytes: second, value: valueText(third, second) });
    case EventKind.portWrite:
      return instant('port', `OUT ${port}`, place, { bytes: second, value: valueText(third, second) });
    default: {
      const verb = kind === EventKind.deviceRead ? 'read' : 'write';
      const args = { offset: hex(first), bytes: second, value: valueText(third, second) };
      return instant('device', `${names[event.name]} ${verb}`, place, args);
    }
  }
}

function deliveryText(
  { first: vector, second: type, third: errorCode }: RecordedEvent,
  place: string,
): string {
  if (type === interruptType) return instant('interrupt', `interrupt ${hex(vector)}`, place, { vector });
  if (type === softwareInterruptType) return instant('interrupt', `INT ${hex(vector)}`, place, { vector });
  const name = exceptions[vector] ?? `exception ${vector}`;
  return instant('exception', name, place, {
    vector,
    ...(errorCode === -1 ? {} : { errorCode: hex(errorCode) }),
  });
}

/** @param place see {@link placeOf} */
function instant(
  category: string,
  name: string,
  place: string,
  args: Readonly<Record<string, unknown>>,
): string {
  return `{"ph":"i","s":"t","cat":"${category}","name":${JSON.stringify(name)},${place},"args":${JSON.stringify(args)}}`;
}

function valueText(value: number, bytes: number): string {
  return hex(bytes < 4 ? value & (2 ** (8 * bytes) - 1) : value);
}

function hex(value: number): string {
  return `${(value < 0 ? value >>> 0 : value).toString(16).toUpperCase()}h`;
}
