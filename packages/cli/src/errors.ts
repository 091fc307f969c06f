/** Exit codes of the command, one list for all sub-commands (README, "Exit codes"). */
export const ExitCode = {
  ok: 0,
  /** What was asked could not be done: an unreadable file, invalid bytes. */
  failed: 1,
  /** Wrong options. */
  usage: 2,
  /** A guest that shut down, or met something that is not there. */
  guest: 3,
  /** A defect of ours. */
  internal: 70,
} as const;

/**
 * Something the user can put right. Its message is one line, for a person: `runCli` prints it and nothing else, so a
 * JavaScript stack trace can only come from a defect.
 */
export class Complaint extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = ExitCode.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A wrong option; the message says what is wrong and what is allowed. */
export class UsageError extends Complaint {
  constructor(message: string) {
    super(message, ExitCode.usage);
  }
}

/** Nobody reads our output any more (`nest86 … | head`): a reason to stop, not to complain. */
export class OutputClosed extends Error {}
