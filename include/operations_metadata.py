"""The one ``MetaData`` that all tables of the pipeline (prefix ``carm_``) hang on."""

from sqlalchemy import MetaData

METADATA = MetaData()
