"""Knows what the exceptions of libraries mean, by their classes, attributes and messages.

Messages that the user's own code words itself match nothing here.
"""

from __future__ import annotations

import re

# By library (the top of a class's module): the classes for something outside that did not answer.
_UNANSWERED = {
    "builtins": r"Connection(Refused|Reset|Aborted)?Error",
    "socket": r"gaierror|herror|timeout",
    "ssl": r"SSL\w*Error|CertificateError",
    "http": r"RemoteDisconnected|IncompleteRead|BadStatusLine",
    "requests": r"(Connection|Proxy|SSL|ChunkedEncoding|Retry)Error|(Connect|Read)?Timeout",
    "urllib3": r"MaxRetryError|NewConnectionError|NameResolutionError|(Connect|Read)?Timeout\w*"
    r"|ProtocolError|ProxyError|SSLError|IncompleteRead|HTTPWarning",
    "httpx": r"(Connect|Read|Write|Close|Network|Transport|Proxy|RemoteProtocol)Error"
    r"|(Connect|Read|Write|Pool)Timeout|TimeoutException",
    "httpcore": r"(Connect|Read|Write|Network|Proxy|RemoteProtocol)Error"
    r"|(Connect|Read|Write|Pool)Timeout|ConnectionNotAvailable",
    "aiohttp": r"Client(Connection|Connector\w*|OS|Payload|Proxy\w*|SSL|HttpProxy)Error"
    r"|Client\w*Connector\w*|Server\w+(Error|Exception)|(Connection|Socket)TimeoutError"
    r"|ClientConnectionResetError",
    "websockets": r"ConnectionClosed\w*|InvalidStatus\w*",
    "grpc": r"FutureTimeoutError",
    "google": r"ServiceUnavailable|InternalServerError|BadGateway|GatewayTimeout|DeadlineExceeded"
    r"|TooManyRequests|ResourceExhausted|RetryError|TransportError",
    "openai": r"API(Connection|Timeout)Error|RateLimitError|InternalServerError"
    r"|ServiceUnavailableError",
    "anthropic": r"API(Connection|Timeout)Error|RateLimitError|InternalServerError"
    r"|(Overloaded|ServiceUnavailable|DeadlineExceeded)\w*Error",
    "azure": r"Service(Request|Response)(Timeout)?Error|IncompleteReadError|ServiceBusy\w*"
    r"|ServiceBus(Connection|Communication|ServerBusy)Error|ConnectError|ConnectionLostError",
    "botocore": r"(EndpointConnection|ConnectionClosed|HTTPClient|ProxyConnection|SSL"
    r"|ResponseStreaming|IncompleteRead)Error|(Connect|Read)TimeoutError",
    "redis": r"(Connection|Timeout|BusyLoading)Error",
    "pymongo": r"ServerSelectionTimeoutError|AutoReconnect|NetworkTimeout|ConnectionFailure"
    r"|NotPrimaryError",
    "elastic_transport": r"(Connection|Tls)Error|ConnectionTimeout",
    "elasticsearch": r"ConnectionError|ConnectionTimeout",
    "kafka": r"NoBrokersAvailable|KafkaTimeoutError|KafkaConnectionError",
    "pika": r"AMQPConnectionError|StreamLostError|ConnectionClosed\w*",
    "paramiko": r"NoValidConnectionsError",
    "smtplib": r"SMTP(ServerDisconnected|ConnectError)",
    "fsspec": r"FSTimeoutError",
    "huggingface_hub": r"LocalEntryNotFoundError",
    "tensorflow": r"(Unavailable|DeadlineExceeded)Error",
}
_UNANSWERED_BY = {library: re.compile(names) for library, names in _UNANSWERED.items()}
_UNANSWERED_BY["urllib"] = re.compile(r"URLError|ContentTooShortError")
# Derived from those classes, but the caller's fault.
_CALLERS = re.compile(
    r"UnsupportedProtocol|LocalProtocolError|Authentication\w*Error|Authorization\w*Error|Invalid\w+"
    r"|MissingSchema|MaxConnectionsError|\w+VersionError"
)
# gRPC's, which has no HTTP statuses; its others are the caller's fault.
_STATUS_NAMES = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}

# Classes that can mean many things, so their attributes or messages decide.
_SPOKESMAN = re.compile(
    r"(Operational|Interface|DBAPI|Database)Error|(Xla|Jax)RuntimeError|\w*AcceleratorError"
    r"|CudaAPIError|LightGBMError|XGBoostError|Py4JJavaError|_?\w*RpcError|_MultiThreadedRendezvous"
    r"|HTTPError|HTTPStatusError|Client(Response)?Error|API(Status|Response)?Error|HttpResponseError"
    r"|HfHubHTTPError|Api(Exception|Error)|GoogleAPICallError|MlflowException|RestException"
)
_MEMORY = re.compile(r"\w*(MemoryError|OutOfMemory(Error)?|OOMError)|ResourceExhaustedError")
_NO_FILE = re.compile(
    r"FileNotFoundError|NotADirectoryError|\w*NoSuchFileError|ResourceNotFoundError"
)
_NO_PACKAGE = re.compile(
    r"DistributionNotFound|PackageNotFoundError|\w*ExecutableNotFound|\w*NotInstalled(Error)?"
    r"|TesseractNotFoundError|JavaNotFoundException"
)
_NO_FIT = re.compile(r"\w*VersionConflict|APIRemovedIn\w+")

_EXACT = tuple(
    (kind, re.compile(words, re.DOTALL))
    for kind, words in (
        (
            "out_of_memory",
            r"(CUDA|HIP|XPU|MPS backend) out of memory|CUDA error: out of memory"
            r"|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|CU(BLAS|DNN)_STATUS_ALLOC_FAILED"
            r"|RESOURCE_EXHAUSTED: .*([Oo]ut of memory|OOM|allocat)|OOM when allocating tensor"
            r"|(can't|not enough) (allocate )?memory: you tried to allocate|Cannot allocate memory"
            r"|Unable to allocate .* for an array|std::bad_alloc|java\.lang\.OutOfMemoryError"
            r"|[Oo]ut of memory (allocating|while trying to allocate)|failed to allocate memory$",
        ),
        (
            "network",
            r"HTTPS?ConnectionPool\(host=.*Max retries exceeded|<urlopen error \[Errno"
            r"|^\('Connection aborted\.'|\[Errno (-2|-3|101|104|110|111|113)\] \w+"
            r"|Temporary failure in name resolution|Failed to establish a new connection"
            r"|(could not connect|failed to connect) to (all addresses|server)"
            r"|[Ll]ogin timeout expired|HYT0[01]\b"
            r"|\b08(S01|001)\b.*(TCP|[Tt]imeout|[Cc]ommunication|[Cc]onnect)|ORA-12(170|514|541|545)\b|\bDPY-6005\b"
            r"|connection to server (at|on) .* failed: (Connection (refused|timed out)|timeout"
            r"|server closed|could not (translate|receive))|could not translate host name"
            r"|Can't connect to (MySQL )?server|Lost connection to (MySQL )?server"
            r"|MySQL server has gone away|the database system is (starting up|shutting down)"
            r"|server closed the connection unexpectedly",
        ),
        (
            "environment",
            r"^unsupported pickle protocol: \d+$|dtype size changed, may indicate binary incompat"
            r"|^Descriptors cannot be created directly",
        ),
    )
)

# Only for exceptions that an installed package or Python itself raised.
_LOOSE = tuple(
    (kind, re.compile(words, re.IGNORECASE | re.DOTALL))
    for kind, words in (
        (
            "environment",
            r"\bha(s|ve) been removed\b|\b(was|were|is|are) removed (in|from|since)\b"
            r"|no longer (supported|available)|undefined symbol"
            r"|dtype size changed|binary incompatib|compiled (using|with|against) NumPy|_ARRAY_API"
            r"|needs NumPy|Descriptors cannot.? be created|__sklearn_tags__|in maintenance mode"
            r"|pickle protocol|is not a valid package style|not found \(required by"
            r"|requires version '?[\d.]+'? or newer"
            r"|version '?[\d.]+'? (or \w+ )?is (required|not supported)"
            r"|parameter of \w+ must be .* Got '(mse|mae|ls|lad|deviance|log|auto|none)'",
        ),
        (
            "dependency",
            r"Missing optional dependency|\bnot installed|(pip3?|conda|apt\S*) install"
            r"|to be installed"
            r"|cannot open shared object|Library not loaded|command not found"
            r"|Can't find model '|Java gateway process exited|JAVA_HOME is not"
            r"|Unable to find a usable"
            r"|is not an IPython extension|No module named|MovieWriter \(\w+\) not available"
            r"|No such file or directory: '(dot|java|ffmpeg|git)'",
        ),
        (
            "data",
            r"No such file or directory|unable to open database file"
            r"|(file|path)\b.{0,300} does not exist"
            r"|\w+ not found\W+Please use the NLTK|Path does not exist|(file|path) not found",
        ),
        (
            "network",
            r"Name or service not known|name resolution|getaddrinfo failed|Network is unreachable"
            r"|Connection (refused|reset|aborted|timed out)|Max retries exceeded|couldn't connect"
            r"|Remote end closed connection|urlopen error|Couldn't reach|read operation timed out"
            r"|certificate verify failed|^timed out$|request timed out|read timed out"
            r"|Server disconnected|connection error"
            r"|All connection attempts failed|Cannot connect to host|could not connect to",
        ),
    )
)

# Messages of MLflow on Azure ML that don't say what to do. The first two mean that the plugin for
# Azure ML's addresses is missing (mlflow/mlflow#11283), the next one that the server lacks a
# feature of MLflow 2.19 (Azure/azure-sdk-for-python#44896), the last one that the script has chosen
# another experiment than that of the job's run (`start_run` in mlflow/tracking/fluent.py).
_REMEDIES = tuple(
    (kind, re.compile(words), remedy)
    for kind, words, remedy in (
        (
            "environment",
            r"got unsupported URI 'azureml:|registered artifact repository for: azureml:",
            "MLflow needs the package azureml-mlflow to log to Azure ML, and the environment lacks "
            "it. Add azureml-mlflow to the environment.",
        ),
        (
            "environment",
            r"/mlflow/logged-models\S* failed with error code 404\b",
            "The MLflow server, such as Azure ML's, does not know the logged models of MLflow 2.19 "
            "and later. Write the model below outputs/ instead, or pin mlflow<2.19.",
        ),
        (
            "code",
            r"^Cannot start run with ID \S+ because active experiment ID does not match",
            "An Azure ML job has its own run and experiment. Remove mlflow.set_experiment, or call "
            "it only where MLFLOW_RUN_ID is not set before the first run.",
        ),
    )
)

_HTTP = re.compile(
    r"HTTP Error ([45]\d\d): |\b([45]\d\d) (?:Client|Server) Error: .* for url"
    r"|(?:Client|Server) error '([45]\d\d)|Error code: ([45]\d\d)\b|^([45]\d\d), message="
    r"|^\(([45]\d\d)\)\s+Reason: |^([45]\d\d) (?:failed to connect|The service|Internal|Service)"
    r"|^<HttpError ([45]\d\d) when",
)
_HTTP_LOOSE = re.compile(
    r"\bstatus(?:[ _]code)?[ :=]+([45]\d\d)\b|^([45]\d\d) [A-Z]|\(([45]\d\d)\)"
    r"|response code was ([45]\d\d)\b",
    re.IGNORECASE,
)
_HTTP_NAMES = (
    (
        503,
        re.compile(
            r"StatusCode\.(UNAVAILABLE|DEADLINE_EXCEEDED)|\bServerBusy\b|\(InternalError\)"
            r"|('|^)(Service Unavailable|Bad Gateway|Gateway Time-?out|Internal Server Error)('|\b)"
        ),
    ),
    (
        429,
        re.compile(
            r"('|^)Too Many Requests('|\b)|\((SlowDown|Throttling\w*|\w*TooManyRequests\w*"
            r"|\w*ThroughputExceeded\w*|RequestTimeout|RequestLimitExceeded|ServiceUnavailable)\)"
        ),
    ),
    (
        404,
        re.compile(
            r"\((NoSuchKey|NoSuchBucket|BlobNotFound|ContainerNotFound|ResourceNotFound)\)"
            r"|StatusCode\.NOT_FOUND"
        ),
    ),
    (400, re.compile(r"StatusCode\.[A-Z_]+")),
)


def unanswered(library: str, name: str) -> bool:
    """Whether the library's class of that name means that something outside did not answer."""
    names = _UNANSWERED_BY.get(library)
    return names is not None and names.fullmatch(name) is not None


def is_callers(name: str) -> bool:
    """Whether a class blames the caller, although it derives from one that does not."""
    return _CALLERS.fullmatch(name) is not None


def unanswered_anywhere(name: str) -> bool:
    """Like `unanswered` for any library, for text that does not name the module."""
    return any(names.fullmatch(name) for names in _UNANSWERED_BY.values())


def is_spokesman(name: str) -> bool:
    return _SPOKESMAN.fullmatch(name) is not None


def kind_of_name(name: str) -> str | None:
    """The kind that a class's name alone means, whatever its library; never a transient one."""
    for kind, names in (
        ("out_of_memory", _MEMORY),
        ("data", _NO_FILE),
        ("dependency", _NO_PACKAGE),
        ("environment", _NO_FIT),
    ):
        if names.fullmatch(name):
            return kind
    return None


def kind_of_status(status: int | str | None) -> str | None:
    """The kind of an HTTP status or of the name of a gRPC status; None for None."""
    if status is None:
        return None
    if isinstance(status, str):
        missing = {"NOT_FOUND", "PERMISSION_DENIED"}
        return "network" if status in _STATUS_NAMES else "data" if status in missing else "code"
    if status in (408, 425, 429) or status >= 500:
        return "network"
    return "data" if status in (401, 403, 404, 410) else "code"


def status_of(message: str, *, named: bool = False, loose: bool = False) -> int | None:
    """The HTTP status in a message, as libraries word it.

    `named`: also find names for a status; `loose`: also find numbers that may not be a status.
    """
    found = _HTTP.search(message) or (_HTTP_LOOSE.search(message) if loose else None)
    if found:
        return int(next(filter(None, found.groups())))
    if named or loose:
        return next((status for status, words in _HTTP_NAMES if words.search(message)), None)
    return None


def kind_of_words(message: str, *, loose: bool) -> str | None:
    """The kind for a message that only libraries use; `loose`: also for messages of anyone."""
    known = ((kind, words) for kind, words, _ in _REMEDIES)
    for kind, words in (*known, *_EXACT, *(_LOOSE if loose else ())):
        if words.search(message):
            return kind
    return None


def remedy_of(message: str) -> str | None:
    """What to do about an exception whose own message does not say it; None for all others."""
    return next((remedy for _, words, remedy in _REMEDIES if words.search(message)), None)
