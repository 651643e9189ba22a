export * from '@orgcast/client/react';
