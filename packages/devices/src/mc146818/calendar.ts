import { Index, RegisterB } from './registers.ts';

const pm = 0x80;
/** Alarm bytes from here on match anything. */
const anything = 0xc0;

/** What the time bytes say. @param format register B @returns seconds since 1970; what is out of range counts on, as 61 seconds do into the next minute */
export function secondsOf(bytes: Uint8Array, format: number): number {
  const field = (index: number) => numberOf(bytes[index], format);
  const date = new Date(0);
  date.setUTCFullYear(
    field(Index.century) * 100 + field(Index.year),
    field(Index.month) - 1,
    field(Index.dayOfMonth),
  );
  const hours = hoursOf(bytes[Index.hours], format);
  return Math.floor(date.getTime() / 1000) + hours * 3600 + field(Index.minutes) * 60 + field(Index.seconds);
}

/** The day of the week that the bytes of date and day differ by. @param seconds what {@link secondsOf} gave */
export function dayOfWeekOffset(bytes: Uint8Array, format: number, seconds: number): number {
  const day = numberOf(bytes[Index.dayOfWeek], format) - 1;
  return (((day - dayOfWeek(seconds)) % 7) + 7) % 7;
}

/** Writes a moment to the time bytes. @param seconds since 1970 @param format register B @param dayOffset as {@link dayOfWeekOffset} gives it */
export function setTimeBytes(bytes: Uint8Array, format: number, seconds: number, dayOffset: number): void {
  const date = new Date(seconds * 1000);
  const set = (index: number, value: number) => {
    bytes[index] = byteOf(value, format);
  };
  set(Index.seconds, date.getUTCSeconds());
  set(Index.minutes, date.getUTCMinutes());
  bytes[Index.hours] = hoursByte(date.getUTCHours(), format);
  set(Index.dayOfWeek, ((dayOfWeek(seconds) + dayOffset) % 7) + 1);
  set(Index.dayOfMonth, date.getUTCDate());
  set(Index.month, date.getUTCMonth() + 1);
  const year = ((date.getUTCFullYear() % 10000) + 10000) % 10000;
  set(Index.year, year % 100);
  set(Index.century, Math.floor(year / 100));
}

/** The first second after `seconds` that the alarm bytes match, or Infinity. */
export function nextAlarm(bytes: Uint8Array, format: number, seconds: number): number {
  const atHour = bytes[Index.hoursAlarm] >= anything ? -1 : hoursOf(bytes[Index.hoursAlarm], format);
  const atMinute = alarmField(bytes[Index.minutesAlarm], format);
  const atSecond = alarmField(bytes[Index.secondsAlarm], format);
  if (atHour > 23 || atMinute > 59 || atSecond > 59) return Infinity;
  let t = seconds + 1;
  // Whole hours first, then minutes: a day, an hour and a minute are as far as it can be.
  for (;;) {
    if (atHour >= 0 && hourOfDay(t) !== atHour) t += 3600 - remainder(t, 3600);
    else if (atMinute >= 0 && Math.floor(remainder(t, 3600) / 60) !== atMinute) t += 60 - remainder(t, 60);
    else if (atSecond >= 0 && remainder(t, 60) !== atSecond) t++;
    else return t;
  }
}

function alarmField(byte: number, format: number): number {
  return byte >= anything ? -1 : numberOf(byte, format);
}

function hourOfDay(seconds: number): number {
  return Math.floor(remainder(seconds, 86400) / 3600);
}

function remainder(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

function dayOfWeek(seconds: number): number {
  return remainder(Math.floor(seconds / 86400) + 4, 7);
}

function numberOf(byte: number, format: number): number {
  return (format & RegisterB.binary) !== 0 ? byte : (byte >> 4) * 10 + (byte & 15);
}

function byteOf(value: number, format: number): number {
  return (format & RegisterB.binary) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
}

function hoursOf(byte: number, format: number): number {
  if ((format & RegisterB.hours24) !== 0) return numberOf(byte, format);
  return (numberOf(byte & ~pm, format) % 12) + ((byte & pm) !== 0 ? 12 : 0);
}

function hoursByte(hours: number, format: number): number {
  if ((format & RegisterB.hours24) !== 0) return byteOf(hours, format);
  return byteOf(hours % 12 || 12, format) | (hours >= 12 ? pm : 0);
}
