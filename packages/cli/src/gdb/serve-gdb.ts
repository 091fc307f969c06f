import { createServer, type Server, type Socket } from 'node:net';
import { type Machine, MachineDebugger } from '@nest86/machine';
import { Complaint } from '../errors.ts';

/** A debugger that listens for gdb. The run loop asks and tells it, see {@link MachineDebugger}. */
export interface GdbServer {
  /** Where it listens: `port`, or if that was 0 what the system chose. */
  readonly port: number;
  /** Whether the machine is to run now; `quit`: gdb killed it. */
  poll(): 'run' | 'stopped' | 'quit';
  /** To be told of each run's end: true if the machine is not at its end, but goes on or is looked at. */
  ran: MachineDebugger['ran'];
  /** The command ends: gdb hears of it. */
  close(exitCode?: number): void;
}

export interface GdbOptions {
  /** The machine does not run before gdb is there. Default true. */
  readonly waits?: boolean;
  /** What `poll` answers may have changed: for a loop that waits. */
  readonly changed?: () => void;
}

/** Programs of this computer only: whoever reaches the port owns the guest. */
const host = '127.0.0.1';

/**
 * Listens for gdb (`target remote :PORT`), one at a time; when it leaves, the machine goes on, and the next one may come.
 * @throws Complaint if the port is taken
 */
export async function serveGdb(
  machine: Machine,
  port: number,
  { waits = true, changed = () => {} }: GdbOptions = {},
): Promise<GdbServer> {
  let connection: Socket | undefined;
  const debug = new MachineDebugger(machine, { changed, left: () => connection?.end() }, waits);
  const server = createServer((socket) => {
    if (connection !== undefined) {
      socket.destroy();
      return;
    }
    connection = socket;
    // A step is a small packet each way.
    socket.setNoDelay(true);
    const stub = debug.connect({ write: (bytes) => void socket.write(bytes) });
    socket.on('data', (bytes) => stub.receive(bytes));
    // What goes wrong with a connection ends it.
    socket.on('error', () => {});
    socket.on('close', () => {
      connection = undefined;
      debug.disconnect();
    });
  });
  await listening(server, port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    poll: () => debug.poll(),
    ran: (end) => debug.ran(end),
    close: (exitCode) => {
      debug.close(exitCode);
      connection?.end();
      server.close();
      // A gdb that keeps its side open must not hold the command.
      connection?.unref();
      server.unref();
    },
  };
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new Complaint(`--gdb ${port}: ${error.message}`)));
    server.listen(port, host, resolve);
  });
}
