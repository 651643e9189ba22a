import io from 'socket.io-client-2';

import { behavesOverEveryTransport } from '../lib/socketio-behaviour.mjs';

behavesOverEveryTransport('2.x', io);
