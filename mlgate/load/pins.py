"""Exact versions of locust and everything it needs, so that all hosts measure with the same.

Update them together: `uv pip install locust` in an empty environment, then `uv pip freeze`.
"""

from __future__ import annotations

PINS = (
    "bidict==0.24.1",
    "blinker==1.9.0",
    "brotli==1.2.1",
    "certifi==2026.10.19.post1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "configargparse==1.9.0",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "flask-login==0.6.3",
    "gevent==26.9.0",
    "geventhttpclient==2.6.1",
    "greenlet==3.5.6",
    "h11==0.16.0",
    "idna==3.20",
    "iniconfig==2.3.1",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "locust==2.47.0",
    "markupsafe==3.0.4",
    "msgpack==1.2.4",
    "packaging==26.4",
    "pluggy==1.7.0",
    "psutil==7.2.2",
    "pygments==2.21.0",
    "pytest==9.2.0",
    "python-engineio==4.15.1",
    "python-socketio==5.18.1",
    "pyzmq==27.3.0",
    "requests==2.34.2",
    "simple-websocket==1.1.0",
    "typing-extensions==4.16.0",
    "urllib3==2.8.0",
    "websocket-client==1.9.2",
    "werkzeug==3.1.9",
    "wsproto==1.3.2",
    "zope-event==6.2",
    "zope-interface==8.7",
)
