import { bytesOf, framed, PacketReader, textOf } from '../../src/gdb/packets.ts';

/** gdb's side of a connection, packet by packet. */
export class GdbClient {
  /** What came and was not asked for yet. */
  readonly packets: string[] = [];
  readonly signs: string[] = [];
  private stub: { receive(bytes: Uint8Array): void } | undefined;
  private readonly reader: PacketReader = new PacketReader({
    packet: (data) => this.packets.push(textOf(data)),
    damaged: () => this.packets.push('damaged'),
    acknowledged: (isGood) => this.signs.push(isGood ? '+' : '-'),
    interrupt: () => {},
  });

  readonly port = { write: (bytes: Uint8Array): void => this.reader.receive(bytes) };

  connect(stub: { receive(bytes: Uint8Array): void }): void {
    this.stub = stub;
  }

  raw(text: string): void {
    this.stub!.receive(bytesOf(text));
  }

  /** Sends a packet, and answers what came back last; nothing: undefined. */
  ask(text: string): string | undefined {
    this.packets.length = 0;
    this.stub!.receive(framed(bytesOf(text)));
    return this.packets.at(-1);
  }
}
