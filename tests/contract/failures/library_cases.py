"""Failures of libraries, in the versions that `test_failures.py` installs."""

from __future__ import annotations

from tests.contract.failures.case import SCRIPT, case

FRAME = "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})\n"
GRPC = (
    "import grpc\nchannel = grpc.insecure_channel('127.0.0.1:9')\n"
    "channel.unary_unary('/a.B/C')(b'', timeout={})"
)
OPENAI = (
    "import openai\nclient = openai.OpenAI(api_key='k', base_url='{}', max_retries=0)\n"
    "client.chat.completions.create(model='m', messages=[])"
)
BLOB = (
    "from azure.storage.blob import BlobClient\n"
    "blob = BlobClient('{}', 'c', 'b', retry_total=0, connection_timeout=1, read_timeout=0.3)\n"
    "blob.download_blob()"
)
S3 = (
    "import botocore.session, botocore.config\n"
    "config = botocore.config.Config(retries={{'max_attempts': 0}}, read_timeout=0.3)\n"
    "s3 = botocore.session.get_session().create_client('s3', region_name='eu-west-1', config=config,\n"
    "    endpoint_url='{}', aws_access_key_id='a', aws_secret_access_key='b')\n"
    "s3.get_object(Bucket='bucket', Key='key')"
)
AIOHTTP = (
    "import asyncio, threading, aiohttp\n"
    "from concurrent.futures import ThreadPoolExecutor as P\n"
    "async def f():\n"
    "  async with aiohttp.ClientSession() as session:\n"
    "    async with session.get('{}') as answer:\n"
    "      answer.raise_for_status()\n"
    "      await answer.read()\n"
    "P(1).submit(lambda: asyncio.run(f())).result()"
)

LATE = (
    # requests, urllib3
    case("network", "import requests\nrequests.get('{refused}')", "requests"),
    case("network", "import requests\nrequests.get('{url}/503').raise_for_status()", "requests"),
    case("network", "import requests\nrequests.get('{url}/429').raise_for_status()", "requests"),
    case("network", "import requests\nrequests.get('{url}/close')", "requests"),
    case("network", "import requests\nrequests.get('{url}/cut')", "requests"),
    case("network", "import requests\nrequests.get('{url}/slow', timeout=0.2)", "requests"),
    case("network", "import requests\nrequests.get('https' + '{url}'[4:])", "requests"),
    case(
        "network",
        "import requests\ntry: requests.get('{refused}')\n"
        "except requests.RequestException as e: raise RuntimeError('no table') from e",
        "requests",
    ),
    case(
        "network",
        "import requests\ntry: requests.get('{refused}')\n"
        "except Exception as e: raise Exception(str(e))",
        "requests",
    ),
    case("data", "import requests\nrequests.get('{url}/404').raise_for_status()", "requests"),
    case("data", "import requests\nrequests.get('{url}/403').raise_for_status()", "requests"),
    case("code", "import requests\nrequests.get('{url}/400').raise_for_status()", "requests"),
    case("code", "import requests\nrequests.get('{url}/422').raise_for_status()", "requests"),
    case("code", "import requests\nrequests.get('example.org')", "requests"),
    case(
        "code",
        "import requests\nassert requests.get('{url}/503').status_code == 200, 'status 503'",
        "requests",
    ),
    case(
        "code",
        "import requests\ntry: requests.get('{refused}')\nexcept OSError: {}['cached']",
        "requests",
    ),
    case(
        "code",
        "import traceback, requests\ntry: requests.get('{refused}')\n"
        "except OSError: traceback.print_exc()\nprint('the cached table it is')\nexit(1)",
        "requests",
        places=SCRIPT,
    ),
    case(
        "network",
        "import urllib3\nurllib3.PoolManager(retries=False).request('GET', '{refused}')",
        "urllib3",
    ),
    case(
        "network",
        "import urllib3\nurllib3.PoolManager(retries=1).request('GET', '{refused}')",
        "urllib3",
    ),
    case(
        "network",
        "import urllib3\nurllib3.PoolManager(retries=False, timeout=0.2).request('GET', '{url}/slow')",
        "urllib3",
    ),
    # httpx, aiohttp
    case("network", "import httpx\nhttpx.get('{refused}')", "httpx"),
    case("network", "import httpx\nhttpx.get('{url}/503').raise_for_status()", "httpx"),
    case("network", "import httpx\nhttpx.get('{url}/close')", "httpx"),
    case("network", "import httpx\nhttpx.get('{url}/cut')", "httpx"),
    case("network", "import httpx\nhttpx.get('{url}/slow', timeout=0.2)", "httpx"),
    case("data", "import httpx\nhttpx.get('{url}/404').raise_for_status()", "httpx"),
    case("code", "import httpx\nhttpx.get('{url}/400').raise_for_status()", "httpx"),
    case("code", "import httpx\nhttpx.get('ftp://x')", "httpx"),
    case("network", AIOHTTP.format("{refused}"), "aiohttp"),
    case("network", AIOHTTP.format("{url}/503"), "aiohttp"),
    case("network", AIOHTTP.format("{url}/429"), "aiohttp"),
    case("network", AIOHTTP.format("{url}/close"), "aiohttp"),
    case("network", AIOHTTP.format("{url}/cut"), "aiohttp"),
    case("data", AIOHTTP.format("{url}/404"), "aiohttp"),
    case("code", AIOHTTP.format("{url}/400"), "aiohttp"),
    case("code", AIOHTTP.format("no-url"), "aiohttp"),
    # openai, gRPC, clouds
    case("network", OPENAI.format("{refused}"), "openai.lib"),
    case("network", OPENAI.format("{url}/429"), "openai.lib"),
    case("network", OPENAI.format("{url}/503"), "openai.lib"),
    case("data", OPENAI.format("{url}/404"), "openai.lib"),
    case("code", OPENAI.format("{url}/400"), "openai.lib"),
    case("code", "import openai\nopenai.OpenAI()", "openai.lib"),
    case("environment", "import openai\nopenai.Completion.create(model='m')", "openai.lib"),
    case("network", GRPC.format(2), "grpc"),
    case(
        "network",
        "import grpc\nc = grpc.insecure_channel('127.0.0.1:9')\n"
        "grpc.channel_ready_future(c).result(timeout=0.2)",
        "grpc",
    ),
    case("network", BLOB.format("{refused}"), "azure.storage.blob"),
    case("network", BLOB.format("{url}/503"), "azure.storage.blob"),
    case("network", BLOB.format("{url}/slow"), "azure.storage.blob"),
    case("data", BLOB.format("{url}/404"), "azure.storage.blob"),
    case("code", BLOB.format("{url}/409"), "azure.storage.blob"),
    case("network", S3.format("{refused}"), "botocore"),
    case("network", S3.format("{url}/503"), "botocore"),
    case("network", S3.format("{url}/slow"), "botocore"),
    case("data", S3.format("{url}/404"), "botocore"),
    case("code", S3.format("{url}/400"), "botocore"),
    case(
        "network",
        "from google.api_core import exceptions as e\nraise e.ServiceUnavailable('no')",
        "google.api_core",
    ),
    case(
        "network",
        "from google.api_core import exceptions as e\nraise e.from_http_status(429, 'x')",
        "google.api_core",
    ),
    case(
        "network",
        "import sqlalchemy as s\ns.create_engine('mysql+pymysql://a@127.0.0.1:9/x').connect()",
        "sqlalchemy",
        "pymysql",
    ),
    case("network", "import pymysql\npymysql.connect(host='127.0.0.1', port=9)", "pymysql"),
    case("network", "import redis\nredis.Redis(port=9).get('a')", "redis"),
    case(
        "network",
        "import pymongo\npymongo.MongoClient('127.0.0.1', 9, serverSelectionTimeoutMS=200).a.b.find_one()",
        "pymongo",
    ),
    case(
        "data",
        "import sqlalchemy as s\ns.create_engine('sqlite:////no/where.db').connect()",
        "sqlalchemy",
    ),
    case(
        "code",
        "import sqlalchemy as s\nwith s.create_engine('sqlite://').connect() as c:\n"
        "  c.execute(s.text('select * from nowhere'))",
        "sqlalchemy",
    ),
    case(
        "dependency", "import sqlalchemy as s\ns.create_engine('postgresql://a@b/c')", "sqlalchemy"
    ),
    case(
        "environment",
        "import sqlalchemy as s\ns.create_engine('sqlite://').execute('select 1')",
        "sqlalchemy",
    ),
    case(
        "network",
        "import tenacity, urllib.request\n@tenacity.retry(stop=tenacity.stop_after_attempt(2))\n"
        "def f(): urllib.request.urlopen('{refused}')\nf()",
        "tenacity",
    ),
    # pandas, numpy, scikit-learn, matplotlib
    case("code", FRAME + "df['price']", "pandas"),
    case("code", FRAME + "df['Connection refused']", "pandas"),
    case("code", FRAME + "df.price", "pandas"),
    case("code", FRAME + "df.astype(int)", "pandas"),
    case("code", FRAME + "df.merge(df, on='c')", "pandas"),
    case("code", FRAME + "df + 'x'", "pandas"),
    case("code", "import pandas as pd, io\npd.read_csv(io.StringIO(''))", "pandas"),
    case("code", "import pandas as pd\npd.to_datetime(['was removed'])", "pandas"),
    case("data", "import pandas as pd\npd.read_csv('absent.csv')", "pandas"),
    case("data", "import pandas as pd\npd.read_csv('{url}/404')", "pandas"),
    case("network", "import pandas as pd\npd.read_csv('{refused}/a.csv')", "pandas"),
    case("network", "import pandas as pd\npd.read_json('{url}/503')", "pandas"),
    case(
        "dependency",
        "import pandas as pd\npd.read_excel('a.xlsx', engine='openpyxl')",
        "pandas",
        files={"a.xlsx": "PK"},
    ),
    case("dependency", FRAME + "df.to_parquet('a.parquet')", "pandas"),
    case("dependency", FRAME + "df.to_markdown()", "pandas"),
    case("environment", FRAME + "df.append(df)", "pandas"),
    case("environment", FRAME + "df.iteritems()", "pandas"),
    case(
        "environment",
        "import pandas as pd\npd.read_csv('a.csv', squeeze=True)",
        "pandas",
        files={"a.csv": "a\n1\n"},
    ),
    case("environment", "import pandas as pd\npd.Int64Index([1])", "pandas"),
    case("environment", "from pandas import Panel", "pandas"),
    case("environment", "import pandas.util.testing", "pandas"),
    case("environment", "import numpy as np\nnp.float", "numpy"),
    case("environment", "import numpy as np\nnp.float_(1)", "numpy"),
    case("environment", "import numpy as np\nnp.product([1, 2])", "numpy"),
    case("environment", "import numpy as np\nnp.arange(3).ptp()", "numpy"),
    case("environment", "from numpy import bool8", "numpy"),
    case("code", "import numpy as np\nnp.zeros(3) @ np.zeros(4)", "numpy"),
    case("code", "import numpy as np\nnp.zeros((2, 2)).reshape(5)", "numpy"),
    case("code", "import numpy as np\nnp.array([1])['a']", "numpy"),
    case("data", "import numpy as np\nnp.load('absent.npy')", "numpy"),
    case("out_of_memory", "import numpy as np\nnp.zeros((1 << 25, 1 << 25))", "numpy"),
    case("environment", "from sklearn.datasets import load_boston", "sklearn"),
    case("environment", "import sklearn.externals.joblib", "sklearn"),
    case(
        "environment",
        "from sklearn.preprocessing import OneHotEncoder\nOneHotEncoder(sparse=False)",
        "sklearn",
    ),
    case(
        "environment",
        "from sklearn.linear_model import LinearRegression\nLinearRegression(normalize=True)",
        "sklearn",
    ),
    case(
        "environment",
        "from sklearn.ensemble import GradientBoostingRegressor as G\nG(criterion='mse').fit([[1], [2]], [1, 2])",
        "sklearn",
    ),
    case("environment", "from sklearn.metrics import plot_confusion_matrix", "sklearn"),
    case("code", "from sklearn.svm import SVC\nSVC().predict([[1]])", "sklearn"),
    case("code", "from sklearn.svm import SVC\nSVC().fit([[1], [2]], [1])", "sklearn"),
    case("code", "from sklearn.svm import SVC\nSVC().fit([['is not installed']], [1])", "sklearn"),
    case(
        "code",
        "from sklearn.linear_model import LinearRegression as L\nL().fit([[float('nan')]], [1])",
        "sklearn",
    ),
    case(
        "environment",
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as p\np.style.use('seaborn')",
        "matplotlib",
    ),
    case("environment", "import matplotlib.cm\nmatplotlib.cm.get_cmap('viridis')", "matplotlib"),
    case(
        "code",
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as p\np.plot([1, 2], [1])",
        "matplotlib",
    ),
    # what is missing in packages that several bring
    case("dependency", "import azure.cosmos", "azure"),
    case("dependency", "from azure.cosmos import CosmosClient", "azure"),
    case("dependency", "from google.colab import drive", "google.api_core"),
    case("dependency", "from google import colab", "google.api_core"),
    case("dependency", "import google.cloud.storage", "google.api_core"),
)

EARLY = (
    case(
        "environment",
        "import pandas as pd\npd.read_csv('a.csv', dtype_backend='pyarrow')",
        "pandas",
        files={"a.csv": "a\n1\n"},
    ),
    case("environment", "import numpy as np\nnp.astype([1], int)", "numpy"),
    case("environment", "import numpy as np\nnp.int", "numpy"),
    case("environment", "from sklearn.preprocessing import TargetEncoder", "sklearn"),
    case(
        "environment",
        "from sklearn.preprocessing import OneHotEncoder\nOneHotEncoder(sparse_output=False)",
        "sklearn",
    ),
    case("environment", "from sqlalchemy.orm import DeclarativeBase", "sqlalchemy"),
    case("environment", "from openai import OpenAI", "openai"),
    case("environment", "from typing import ReadOnly"),
    case(
        "network",
        "import openai\nopenai.api_key = 'k'\nopenai.api_base = '{refused}'\n"
        "openai.ChatCompletion.create(model='m', messages=[])",
        "openai",
    ),
    case(
        "network",
        "import openai\nopenai.api_key = 'k'\nopenai.api_base = '{url}/429'\n"
        "openai.ChatCompletion.create(model='m', messages=[])",
        "openai",
    ),
    case("network", "import requests\nrequests.get('{refused}')", "requests"),
    case("network", "import httpx\nhttpx.get('{refused}')", "httpx"),
    case("network", AIOHTTP.format("{refused}"), "aiohttp"),
    case("network", AIOHTTP.format("{url}/close"), "aiohttp"),
    case("code", FRAME + "df['price']", "pandas"),
    case("data", "import pandas as pd\npd.read_csv('absent.csv')", "pandas"),
    case("data", "try: open('t.csv')\nexcept OSError as e: raise RuntimeError('no table') from e"),
    case("dependency", FRAME + "df.to_parquet('a.parquet')", "pandas"),
    case("code", "import shapes\nshapes.aera()", files={"shapes.py": "def area(): return 1"}),
    case("code", "class Net: pass\nNet().wieghts"),
    case("out_of_memory", "import numpy as np\nnp.zeros((1 << 25, 1 << 25))", "numpy"),
)

MIXED = (
    case("environment", "import pandas"),
    case("environment", "import sklearn.linear_model"),
    case("environment", "import openai\nopenai.OpenAI(api_key='k')", "openai"),
)
