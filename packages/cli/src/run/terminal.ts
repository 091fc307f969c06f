/** What takes the bytes: a serial port, which may be full. */
export interface ByteReceiver {
  readonly hasRoom: boolean;
  receive(byte: number): void;
}

/** Ctrl-A: the next key is for nest86, as in QEMU. */
const commandKey = 1;
const escapeHelp = `
Ctrl-A x       quit
Ctrl-A h       this help
Ctrl-A Ctrl-A  send Ctrl-A
`;

/** Bytes on their way from the keyboard to a serial port. */
export class Terminal {
  /** The user wants to quit. */
  hasQuit = false;
  private readonly waiting: number[] = [];
  private isEscaped = false;

  /** @param show tells the user something @param isKeyboard whether Ctrl-A has its meaning: not where input comes from a file or pipe */
  constructor(
    private readonly show: (text: string) => void,
    private readonly isKeyboard: boolean,
  ) {}

  type(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.isEscaped) this.command(byte);
      else if (byte === commandKey && this.isKeyboard) this.isEscaped = true;
      else this.waiting.push(byte);
    }
  }

  /** Hands over what the receiver has room for. @returns whether there was any */
  feed(receiver: ByteReceiver): boolean {
    let count = 0;
    while (count < this.waiting.length && receiver.hasRoom) receiver.receive(this.waiting[count++]);
    this.waiting.splice(0, count);
    return count > 0;
  }

  private command(byte: number): void {
    this.isEscaped = false;
    const key = String.fromCharCode(byte).toLowerCase();
    if (key === 'x') this.hasQuit = true;
    else if (byte === commandKey) this.waiting.push(byte);
    else if (key === 'h') this.show(escapeHelp);
  }
}
