import { cleanup, configure } from '@testing-library/react';
import * as React from 'react';
import { afterEach } from 'vitest';

import { disconnectAll } from '../../src/index.js';

// A busy machine may take its time.
configure({ asyncUtilTimeout: 60_000 });

// The samples use these without importing them.
Object.assign(globalThis, { useState: React.useState, useEffect: React.useEffect });

afterEach(() => {
  cleanup();
  disconnectAll();
});
