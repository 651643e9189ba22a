export { websocketClient } from '@orgcast/client';
