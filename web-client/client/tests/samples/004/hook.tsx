import { useWebSocket } from '~/hooks/use-websocket'

const MyComponent = () => {
  const { status, isConnected, lastMessage, sendMessage } = useWebSocket({
    autoConnect: true,
    autoReconnect: true,
    reconnectInterval: 5000,
    maxReconnectAttempts: 5,
  })

  // Handle profile updates
  useEffect(() => {
    if (lastMessage?.type === 'profile_updated') {
      console.log('Profile updated:', lastMessage.data)
      // Refetch profile or update UI
    }
  }, [lastMessage])

  return (
    <div>
      <p>Connection Status: {status}</p>
      <p>Connected: {isConnected ? 'Yes' : 'No'}</p>
    </div>
  )
}

export { MyComponent }
