import { Module } from '@nestjs/common';
import { FindStudies } from './find-studies.js';
import { ReadResults } from './read-results.js';

/** Reading studies needs the platform alone; creating one needs the ports, which an app provides beside `CreateStudy`. */
@Module({ providers: [FindStudies, ReadResults], exports: [FindStudies, ReadResults] })
export class StudiesModule {}
