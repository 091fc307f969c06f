/** A clock of the host that stands still while a debugger looks at the machine: without it, a guest in real time finds all its timers due at each step. */
export class PausableTime {
  private offset = 0;
  private pausedAt: number | undefined;

  /** @param host milliseconds of a clock that never goes back */
  constructor(private readonly host: () => number) {}

  /** Milliseconds, without the pauses. */
  readonly now = (): number => (this.pausedAt ?? this.host()) - this.offset;

  /** Stops or starts time; the same twice does nothing. */
  pause(isPaused: boolean): void {
    if (isPaused) this.pausedAt ??= this.host();
    else if (this.pausedAt !== undefined) {
      this.offset += this.host() - this.pausedAt;
      this.pausedAt = undefined;
    }
  }
}
