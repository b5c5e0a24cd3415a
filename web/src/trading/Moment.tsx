// A time in the zone that the person chose.
import { dateClockText, exactText, parseInstant, zoneOf } from "../logs/time";
import { useZone } from "../logs/useSearch";

export function Moment({ time }: { time: string | null }) {
  const [zoneId] = useZone();
  if (!time) return <span className="muted">–</span>;
  const instant = parseInstant(time);
  const zone = zoneOf(zoneId);
  return (
    <time dateTime={time} title={exactText(instant, zone)}>
      {dateClockText(instant.ms, zone)}
    </time>
  );
}
