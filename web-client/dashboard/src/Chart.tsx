import { type ReactNode, useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';

import { clock, format } from './format.js';
import type { Point } from './use-board.js';

type Series = 'utilization' | 'backlog' | 'target';

interface ChartProps {
  title: string;
  unit: string;
  /** What the key figure beside it says. */
  now: number | undefined;
  digits: number;
  points: readonly Point[];
  series: Series;
  /** A second line to compare with. */
  reference?: Series;
}

/** The window that is shown at least, in seconds: a chart that has just begun does not race. */
const LEAST_S = 30;

export function Chart({ title, unit, now, digits, points, series, reference }: ChartProps): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const scheme = useScheme();
  useEffect(() => {
    const element = box.current;
    if (!element || !scheme) return;
    const made = new uPlot(optionsOf(element, unit, reference !== undefined), [[], []], element);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [scheme, unit, reference]);
  useEffect(() => {
    if (!scheme) return;
    const times = points.map(({ at }) => at);
    const lines = [series, ...(reference ? [reference] : [])].map((name) => points.map((point) => point[name]));
    plot.current?.setData([times, ...lines] as uPlot.AlignedData);
  }, [points, series, reference, scheme]);

  const values = points.map((point) => point[series]).filter((value) => value !== null);
  return (
    <section className="card chart" aria-label={`${title} over time`}>
      <h2>
        {title}
        <span className="now">{now === undefined ? '–' : `${format(now, digits)} ${unit}`}</span>
      </h2>
      <div
        className="plot"
        data-empty={points.length < 2}
        data-points={points.length}
        ref={box}
        role="img"
        aria-label={describe(title, unit, digits, values)}
      />
      {points.length < 2 && <p className="quiet over">Drawn from the second update on</p>}
    </section>
  );
}

function describe(title: string, unit: string, digits: number, values: number[]): string {
  const last = values.at(-1);
  if (last === undefined) return `${title}: nothing yet`;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${title}: now ${format(last, digits)} ${unit}, between ${format(least, digits)} and ${format(most, digits)}`;
}

function optionsOf(element: HTMLElement, unit: string, hasReference: boolean): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const axis = { stroke: colour('--quiet'), font, ticks: { show: false } };
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    // To the right there is room for half of the last time.
    padding: [8, 30, 0, 0],
    scales: {
      x: { time: true, range: (_plot, from, to) => [Math.min(from, to - LEAST_S), to] },
      y: {
        range: (_plot, from, to) => {
          const room = Math.max(4, (to - from) * 0.25);
          return [Math.max(0, from - room), unit === '%' ? Math.min(100, to + room) : to + room];
        },
      },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 26,
        space: 80,
        values: (_plot, ticks) => ticks.map((at) => clock(at * 1000)),
      },
      { ...axis, grid: { stroke: colour('--line'), width: 1 }, size: 40, splits: undefined },
    ] as uPlot.Axis[],
    series: [
      {},
      {
        stroke: colour('--accent-line'),
        fill: colour('--accent-wash'),
        width: 2,
        points: { show: false },
        ...(uPlot.paths.spline && { paths: uPlot.paths.spline() }),
      },
      ...(hasReference
        ? [{ stroke: colour('--quiet'), width: 1.5, dash: [5, 5], points: { show: false } } satisfies uPlot.Series]
        : []),
    ],
  };
}

/** Light or dark: the colours of a canvas do not change by themselves. */
function useScheme(): 'light' | 'dark' {
  const [isDark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const change = () => setDark(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return isDark ? 'dark' : 'light';
}
