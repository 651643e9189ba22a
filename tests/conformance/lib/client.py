"""A stock python-socketio client: subscribes on every connect and says on stdout what it hears.

Its handler takes one argument, as handlers in Python do: with another number it would raise.
"""

import json
import sys

import socketio

url, transports, organization = sys.argv[1:]
sio = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2)


def say(event, data=None):
    print(json.dumps({"event": event, "data": data}), flush=True)


@sio.event
def connect():
    sio.emit("authenticate", {"user_id": "u", "organization_id": organization}, callback=authenticated)


def authenticated(answer):
    sio.emit("subscribe", {"channels": ["kpi"]}, callback=lambda answer: say("subscribed", answer))


@sio.event
def disconnect(reason):
    say("disconnected", reason)


@sio.on("kpi:update")
def on_kpi(data):
    say("kpi", data)
    return "seen"


sio.connect(url, transports=transports.split(","), socketio_path="ws")
sio.wait()
