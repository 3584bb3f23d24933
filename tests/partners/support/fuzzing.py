"""What schemathesis has to be told: how bodies are sent that are plain bytes."""

import schemathesis


@schemathesis.serializer("application/x-protobuf")
def as_it_is(_context: object, value: object) -> bytes:
    """Bytes as they are; the text that stands for anything else, since none of it is a message."""
    return bytes(value) if isinstance(value, bytes) else str(value).encode()
