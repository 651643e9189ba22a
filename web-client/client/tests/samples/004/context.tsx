import { useWebSocketContext, WebSocketStatusIndicator } from '~/providers/websocket-provider'

const MyComponent = () => {
  const { status, isConnected, sendMessage } = useWebSocketContext()

  const handleCustomAction = () => {
    sendMessage({
      type: 'custom_action',
      data: { action: 'test' },
    })
  }

  return (
    <div>
      <WebSocketStatusIndicator showDetails={true} />
      <button onClick={handleCustomAction}>Send Test Message</button>
    </div>
  )
}

// "When a client connects, it should send an authentication message"
const AuthenticateButton = () => {
  const { sendMessage } = useWebSocketContext()
  return (
    <button
      onClick={() =>
        sendMessage({
          type: 'authenticate',
          data: {
            userId: 'user123',
            storeId: 'store456',
          },
        })
      }
    >
      Authenticate
    </button>
  )
}

export { AuthenticateButton, MyComponent }
