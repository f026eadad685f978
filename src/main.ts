import { mainStage } from './action/main-stage.ts';
import { runStage } from './action/stage.ts';
import { processContext } from './job/context.ts';
import { keepUntilOver } from './run/keeper-process.ts';
import { KEEPER } from './run/keeper-word.ts';

if (process.argv[2] === KEEPER) {
  void keepUntilOver(process.stdin);
} else {
  void runStage((github, env) => mainStage(github, { ...processContext(), env }));
}
