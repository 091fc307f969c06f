import type { MachineObserver } from '@nest86/machine';

/** What an event is; its numbers mean what {@link RecordedEvent} says. */
export const EventKind = {
  delivery: 0,
  portRead: 1,
  portWrite: 2,
  deviceRead: 3,
  deviceWrite: 4,
  sleep: 5,
  wake: 6,
  compilation: 7,
} as const;

export interface RecordedEvent {
  /** One of {@link EventKind}. */
  readonly kind: number;
  readonly processor: number;
  /** Nanoseconds of guest time. */
  readonly time: number;
  /** Vector, port, offset in a device's memory, or blocks. */
  readonly first: number;
  /** Type of the event, bytes of an access, or instructions. */
  readonly second: number;
  /** Error code, value, or bytes of WebAssembly. */
  readonly third: number;
  /** Number of a device's name. */
  readonly name: number;
}

/** Events of a piece; with 16 pieces the whole takes 34 MiB. */
const pieceSize = 65536;
const mostPieces = 16;

class Piece {
  count = 0;
  private readonly times = new Float64Array(pieceSize);
  private readonly numbers = new Float64Array(pieceSize);
  private readonly values = new Int32Array(pieceSize * 3);
  private readonly heads = new Uint8Array(pieceSize * 4);

  add({ kind, processor, time, first, second, third, name }: RecordedEvent): void {
    const at = this.count++;
    this.times[at] = time;
    this.numbers[at] = first;
    this.values[at * 3] = second;
    this.values[at * 3 + 1] = third;
    this.values[at * 3 + 2] = name;
    this.heads[at * 4] = kind;
    this.heads[at * 4 + 1] = processor;
  }

  at(index: number): RecordedEvent {
    const { times, numbers, values, heads } = this;
    const at = index * 3;
    return {
      kind: heads[index * 4],
      processor: heads[index * 4 + 1],
      time: times[index],
      first: numbers[index],
      second: values[at],
      third: values[at + 1],
      name: values[at + 2],
    };
  }
}

/** Keeps what happens in a machine: the last million events at most, so that no guest can fill the memory. */
export class TraceRecorder implements MachineObserver {
  /** Events, the forgotten ones included. */
  total = 0;
  /** Names of devices, by number. */
  readonly names: string[] = [];
  private readonly pieces: Piece[] = [];
  private readonly numbers = new Map<string, number>();

  delivered(processor: number, time: number, vector: number, type: number, errorCode: number): void {
    this.add(EventKind.delivery, processor, time, vector, type, errorCode);
  }

  port(processor: number, time: number, port: number, bytes: number, isWrite: boolean, value: number): void {
    this.add(isWrite ? EventKind.portWrite : EventKind.portRead, processor, time, port, bytes, value);
  }

  device(
    processor: number,
    time: number,
    region: string,
    offset: number,
    bytes: number,
    isWrite: boolean,
    value: number,
  ): void {
    const kind = isWrite ? EventKind.deviceWrite : EventKind.deviceRead;
    this.add(kind, processor, time, offset, bytes, value, this.numberOf(region));
  }

  slept(processor: number, time: number): void {
    this.add(EventKind.sleep, processor, time, 0, 0, 0);
  }

  woke(processor: number, time: number): void {
    this.add(EventKind.wake, processor, time, 0, 0, 0);
  }

  compiled(processor: number, time: number, blocks: number, instructions: number, bytes: number): void {
    this.add(EventKind.compilation, processor, time, blocks, instructions, bytes);
  }

  /** Events that are kept. */
  get count(): number {
    return this.pieces.reduce((sum, { count }) => sum + count, 0);
  }

  /** In the order in which they happened. */
  *events(): Generator<RecordedEvent, void, undefined> {
    for (const piece of this.pieces) for (let i = 0; i < piece.count; i++) yield piece.at(i);
  }

  private add(
    kind: number,
    processor: number,
    time: number,
    first: number,
    second: number,
    third: number,
    name = 0,
  ): void {
    this.total++;
    let piece = this.pieces.at(-1);
    if (piece === undefined || piece.count === pieceSize) {
      if (this.pieces.length === mostPieces) this.pieces.shift();
      piece = new Piece();
      this.pieces.push(piece);
    }
    piece.add({ kind, processor, time, first, second, third, name });
  }

  private numberOf(name: string): number {
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.names.push(name) - 1;
      this.numbers.set(name, number);
    }
    return number;
  }
}
