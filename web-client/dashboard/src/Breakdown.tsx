import type { ReactNode } from 'react';

import { type Board, placesWithin } from './board.js';
import { format } from './format.js';
import { labelWithin, type Place } from './places.js';
import { toneOf } from './Tiles.js';

interface BreakdownProps {
  board: Board;
  place: Place;
  go: (place: Place) => void;
}

/** The places beneath, side by side. */
export function Breakdown({ board, place, go }: BreakdownProps): ReactNode {
  const rows = placesWithin(board, place);
  if (rows.length === 0) return null;
  return (
    <section className="card" aria-labelledby="breakdown-title">
      <h2 id="breakdown-title">Departments and queues</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="scroll" tabIndex={0} aria-label="Places beneath, side by side">
        <table>
          <thead>
            <tr>
              <th scope="col">Place</th>
              <th scope="col">Health</th>
              <th scope="col">Risk</th>
              <th scope="col">Utilization</th>
              <th scope="col">Backlog</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ key, place: beneath, summary }) => {
              const { health, utilization, backlog, risk } = summary;
              return (
                <tr key={key}>
                  <th scope="row">
                    <button type="button" className="link" onClick={() => go(beneath)}>
                      {labelWithin(beneath, place)}
                    </button>
                  </th>
                  <td data-tone={toneOf(health, 75, 50)}>
                    <i aria-hidden="true" /> {format(health)}
                  </td>
                  <td className="word">{risk ?? '–'}</td>
                  <td>{utilization === undefined ? '–' : `${format(utilization, 1)} %`}</td>
                  <td>{format(backlog)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </section>
    </section>
  );
}
