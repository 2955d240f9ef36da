/** Time to key over time: three lines, drawn by hand with d3's scales, and the same as a table for who cannot see it. */
import type { Model } from "@bitloot/admin-sdk";
import { scaleLinear, scaleTime } from "d3-scale";
import { line } from "d3-shape";
import { duration } from "../lib/time";

type Step = Model<"Step">;

const WIDTH = 520;
const HEIGHT = 150;
const EDGE = { left: 46, right: 8, top: 8, bottom: 20 };
const LINES = ["p50", "p90", "p99"] as const;

export function TimeToKeyChart({ steps }: { readonly steps: readonly Step[] }) {
  const times = steps.map((step) => new Date(step.at));
  const first = times[0];
  const last = times.at(-1);
  if (!first || !last || first >= last) return null;
  const x = scaleTime([first, last], [EDGE.left, WIDTH - EDGE.right]);
  const y = scaleLinear([0, Math.max(1, ...steps.map((step) => step.p99))], [HEIGHT - EDGE.bottom, EDGE.top]).nice(4);
  const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const newest = steps.at(-1);
  return (
    <svg
      className="chart"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Time to key by hour; in the newest one p50 ${duration(newest?.p50 ?? 0)}, p90 ${duration(newest?.p90 ?? 0)}, p99 ${duration(newest?.p99 ?? 0)}`}
    >
      {y.ticks(4).map((tick) => (
        <g key={tick}>
          <line x1={EDGE.left} x2={WIDTH - EDGE.right} y1={y(tick)} y2={y(tick)} className="grid" />
          <text x={EDGE.left - 6} y={y(tick) + 3} textAnchor="end">
            {duration(tick)}
          </text>
        </g>
      ))}
      {x.ticks(6).map((tick) => (
        <text key={tick.getTime()} x={x(tick)} y={HEIGHT - 5} textAnchor="middle">
          {hours.format(tick)}
        </text>
      ))}
      {LINES.map((name) => {
        const path = line<Step>(
          (step) => x(new Date(step.at)),
          (step) => y(step[name]),
        )([...steps]);
        return path ? <path key={name} d={path} className={name} /> : null;
      })}
    </svg>
  );
}
