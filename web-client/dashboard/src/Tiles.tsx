import type { ReactNode } from 'react';

import { rank, type Summary } from './board.js';
import { format } from './format.js';

type Tone = 'good' | 'fair' | 'bad' | 'none';

interface TileProps {
  id: string;
  name: string;
  value: string;
  unit?: string;
  note: string;
  tone: Tone;
  /** 0 to 1, drawn as a bar. */
  share?: number | undefined;
}

function Tile({ id, name, value, unit, note, tone, share }: TileProps): ReactNode {
  return (
    <div className="tile" data-tone={tone}>
      <dt>{name}</dt>
      <dd>
        <span data-testid={id}>{value}</span>
        {unit && value !== '–' && <small>{unit}</small>}
      </dd>
      <dd className="note">
        {share !== undefined && (
          <span className="bar" aria-hidden="true">
            <span style={{ width: `${Math.max(0, Math.min(1, share)) * 100}%` }} />
          </span>
        )}
        {note}
      </dd>
    </div>
  );
}

export function Tiles({ summary }: { summary: Summary }): ReactNode {
  const { health, utilization, target, gap, risk, backlog, oldest } = summary;
  const riskNote = summary.beneath > 1 ? `Highest of ${summary.beneath}` : 'As published';
  return (
    <section aria-label="Key figures">
      <dl className="tiles">
        <Tile
          id="health"
          name="Health score"
          value={format(health)}
          note={health === undefined ? 'of 100' : health >= 75 ? 'Good' : health >= 50 ? 'Watch it' : 'Act now'}
          tone={toneOf(health, 75, 50)}
          share={health === undefined ? undefined : health / 100}
        />
        <Tile
          id="utilization"
          name="Utilization"
          value={format(utilization, 1)}
          unit=" %"
          note={target === undefined ? 'of working time' : `Target ${format(target)} %`}
          tone={utilization === undefined ? 'none' : utilization > 92 ? 'bad' : utilization > 85 ? 'fair' : 'good'}
          share={utilization === undefined ? undefined : utilization / 100}
        />
        <Tile
          id="gap"
          name="Headcount gap"
          value={gap === undefined ? '–' : gap > 0 ? `+${format(gap)}` : format(gap)}
          note={gap === undefined ? 'people' : gap > 0 ? 'People missing' : gap < 0 ? 'People to spare' : 'As planned'}
          tone={gap === undefined ? 'none' : gap > 2 ? 'bad' : gap > 0 ? 'fair' : 'good'}
        />
        <Tile
          id="risk"
          name="SLA risk"
          value={risk === undefined ? '–' : risk.charAt(0).toUpperCase() + risk.slice(1)}
          note={risk === undefined ? 'of missing the SLA' : riskNote}
          tone={
            risk === undefined || rank(risk) < 0 ? 'none' : rank(risk) >= 2 ? 'bad' : rank(risk) === 1 ? 'fair' : 'good'
          }
        />
        <Tile
          id="backlog"
          name="Backlog"
          value={format(backlog)}
          unit=" items"
          note={oldest === undefined ? 'waiting' : `Oldest ${format(oldest)} min`}
          tone={oldest === undefined ? 'none' : oldest > 30 ? 'bad' : oldest > 15 ? 'fair' : 'good'}
        />
      </dl>
    </section>
  );
}

export function toneOf(value: number | undefined, good: number, fair: number): Tone {
  if (value === undefined) return 'none';
  return value >= good ? 'good' : value >= fair ? 'fair' : 'bad';
}
