import { type KeyboardEvent, type ReactNode, useRef, useState } from 'react';

import type { Node, Place } from './places.js';

interface TreeProps {
  nodes: Node[];
  chosen: string;
  /** The organization of the chosen place. */
  organization: string;
  choose: (place: Place) => void;
}

interface Line {
  node: Node;
  depth: number;
  parent: string | undefined;
}

/** A tree as a keyboard expects it (WAI-ARIA, tree view): arrows, Home, End, Enter. */
export function Tree({ nodes, chosen, organization, choose }: TreeProps): ReactNode {
  const [toggled, setToggled] = useState<ReadonlyMap<string, boolean>>(new Map());
  const [focused, setFocused] = useState<string>();
  const items = useRef(new Map<string, HTMLElement>());
  // Other organizations are folded until somebody looks into them.
  const isFolded = (node: Node) =>
    toggled.get(node.key) ?? (node.level === 1 && node.place.organization_id !== organization);
  const lines = flatten(nodes, isFolded);
  const reachable = [focused, chosen].find((key) => lines.some(({ node }) => node.key === key)) ?? lines[0]?.node.key;

  const focus = (key: string | undefined) => {
    if (key === undefined) return;
    setFocused(key);
    items.current.get(key)?.focus();
  };
  const toggle = (key: string, isClosed: boolean) => setToggled((before) => new Map([...before, [key, isClosed]]));
  const keyDown = (event: KeyboardEvent, { node, parent }: Line, index: number) => {
    const isOpen = node.children.length > 0 && !isFolded(node);
    const act = {
      ArrowDown: () => focus(lines[index + 1]?.node.key),
      ArrowUp: () => focus(lines[index - 1]?.node.key),
      Home: () => focus(lines[0]?.node.key),
      End: () => focus(lines.at(-1)?.node.key),
      ArrowRight: () => (isOpen ? focus(lines[index + 1]?.node.key) : toggle(node.key, false)),
      ArrowLeft: () => (isOpen ? toggle(node.key, true) : focus(parent)),
      Enter: () => choose(node.place),
      ' ': () => choose(node.place),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  return (
    <div className="tree" role="tree" aria-label="Organizations, departments and queues">
      {lines.map((line, index) => {
        const { node, depth } = line;
        const hasChildren = node.children.length > 0;
        const isOpen = hasChildren && !isFolded(node);
        return (
          <div
            key={node.key}
            ref={(element) => {
              if (element) items.current.set(node.key, element);
              else items.current.delete(node.key);
            }}
            role="treeitem"
            aria-level={depth}
            aria-selected={node.key === chosen}
            aria-expanded={hasChildren ? isOpen : undefined}
            tabIndex={node.key === reachable ? 0 : -1}
            style={{ paddingInlineStart: `${(depth - 1) * 1.1 + 0.5}rem` }}
            onKeyDown={(event) => keyDown(event, line, index)}
            onFocus={() => setFocused(node.key)}
            onClick={() => choose(node.place)}
          >
            <span
              className="twist"
              data-open={isOpen}
              aria-hidden="true"
              onClick={(event) => {
                if (!hasChildren) return;
                event.stopPropagation();
                toggle(node.key, isOpen);
              }}
            >
              {hasChildren ? '›' : ''}
            </span>
            {node.label}
          </div>
        );
      })}
    </div>
  );
}

function flatten(nodes: Node[], isFolded: (node: Node) => boolean, depth = 1, parent?: string): Line[] {
  return nodes.flatMap((node) => [
    { node, depth, parent },
    ...(isFolded(node) ? [] : flatten(node.children, isFolded, depth + 1, node.key)),
  ]);
}
